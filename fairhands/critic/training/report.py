"""A critic's report: its figures as JSON, and plots of its scores and their reliability."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...whole_files import write_whole
from .judging import Judgement
from .measures import reliability

BARS = 40


def write_report(
    folder: Path, judgement: Judgement, curve: Sequence[tuple[int, float]], figures: dict[str, Any]
) -> None:
    """Write `report.json` and `report.png` into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.json", (json.dumps(figures, indent=2) + "\n").encode())
    write_whole(folder / "report.png", plot(judgement, curve))


def plot(judgement: Judgement, curve: Sequence[tuple[int, float]]) -> bytes:
    """The loss, the held-out hands' scores and the reliability of the calibrated probabilities, as a PNG."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    losses, scores, trust = figure.subplots(1, 3)
    losses.plot([step for step, _ in curve], [loss for _, loss in curve], color="tab:blue")
    losses.set(xlabel="step", ylabel="loss")
    _draw_scores(scores, judgement)
    _draw_reliability(trust, judgement)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _draw_scores(axes: Axes, judgement: Judgement) -> None:
    every = torch.cat([judgement.right, judgement.malformed])
    limits = float(every.min()), float(every.max()) + 1e-6
    for logits, colour, name in (
        (judgement.right, "tab:green", "right or real"),
        (judgement.malformed, "tab:red", "malformed or generated"),
    ):
        axes.hist(logits.tolist(), bins=BARS, range=limits, color=colour, alpha=0.6, label=name)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="mean logit of held-out hands", ylabel="hands")
    axes.legend()


def _draw_reliability(axes: Axes, judgement: Judgement) -> None:
    scale, offset = judgement.calibration()
    likely = torch.sigmoid(scale * torch.cat([judgement.right, judgement.malformed]) + offset)
    truth = torch.arange(len(likely)) < len(judgement.right)
    table = reliability(likely, truth)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.plot([seemed for seemed, _, _ in table], [rate for _, rate, _ in table], "o-", color="tab:blue")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="calibrated probability of a right hand", ylabel="rate of right hands")
