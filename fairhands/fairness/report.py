"""The report of a fair training: every figure over the steps, as JSON and as one picture."""

import json
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..training.loop import Curve
from ..whole_files import write_whole

SMOOTHED = 50  # points that are shown of a curve, each the mean of its neighbours
PALE = 0.25


def write_report(
    folder: Path, objectives: Sequence[str], curves: Mapping[str, Curve], figures: Mapping[str, Any]
) -> None:
    """Write `report.json` and `report.png` into a folder.

    Args:
        folder: which there is.
        objectives: their names.
        curves: of all that was logged, `Loop.curves`.
        figures: what else the JSON says.
    """
    content = {**figures, "objectives": list(objectives), "last": last_means(curves), "curves": dict(curves)}
    write_whole(folder / "report.json", (json.dumps(content, indent=1) + "\n").encode())
    write_whole(folder / "report.png", plot(objectives, curves))


def last_means(curves: Mapping[str, Curve]) -> dict[str, float]:
    """The mean of the last tenth of each curve; of what is held out, the last point."""
    return {
        name: curve[-1][1] if name.startswith("held_out/") else _mean(curve[-max(1, len(curve) // 10) :])
        for name, curve in curves.items()
        if curve
    }


def plot(objectives: Sequence[str], curves: Mapping[str, Curve]) -> bytes:
    """Losses, held-out losses, weights, gradient norms, cosines and shares over the steps, as a PNG.

    Panels of what was not logged stay out.
    """
    weights = {name: _where_present(curves, name) for name in objectives}
    pairs = [(one, other) for at, one in enumerate(objectives) for other in objectives[at + 1 :]]
    cosines = {f"{one}, {other}": curves.get(f"cosine/{one}_{other}", []) for one, other in pairs}
    panels: list[tuple[str, dict[str, Curve], str]] = [
        ("loss", {name: curves.get(name, []) for name in objectives}, "log"),
        ("loss of held-out pictures", _named(curves, "held_out", objectives), "linear"),
        ("weight, where present", weights, "log"),
        ("gradient norm", _named(curves, "gradient_norm", objectives), "log"),
        ("cosine of two gradients", cosines, "linear"),
        ("share of the combined gradient", _named(curves, "share", objectives), "linear"),
    ]
    shown = [panel for panel in panels if any(panel[1].values())]
    columns = min(3, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (title, lines, scale) in zip(axes, shown, strict=False):
        _draw(axis, title, lines, scale)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _named(curves: Mapping[str, Curve], figure: str, names: Sequence[str]) -> dict[str, Curve]:
    return {name: curves.get(f"{figure}/{name}", []) for name in names}


def _where_present(curves: Mapping[str, Curve], name: str) -> Curve:
    """An objective's weight over the steps in which it was: in the log it is zero in the others."""
    present = dict(curves.get(f"present/{name}", []))
    weights = curves.get(f"weight/{name}", [])
    return [(step, weight / present[step]) for step, weight in weights if present.get(step)]


def _draw(axes: Axes, title: str, lines: Mapping[str, Curve], scale: str) -> None:
    """Each curve pale as it is, and smoothed where it has many points."""
    values = [value for curve in lines.values() for _, value in curve]
    for colour, (name, curve) in enumerate(lines.items()):
        if not curve:
            continue
        smooth = _smoothed(curve)
        if len(smooth) < len(curve):
            axes.plot(*zip(*curve, strict=True), color=f"C{colour}", alpha=PALE, linewidth=0.8)
        marker = "o" if len(smooth) < SMOOTHED else None
        axes.plot(*zip(*smooth, strict=True), color=f"C{colour}", label=name, marker=marker, markersize=3)
    if scale == "log" and all(value > 0 for value in values):
        axes.set_yscale("log")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.grid(alpha=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, framealpha=0.7, edgecolor="none")


def _smoothed(curve: Curve) -> Curve:
    """At most `SMOOTHED` points: means of as many neighbours as it takes."""
    length = max(1, math.ceil(len(curve) / SMOOTHED))
    parts = [curve[start : start + length] for start in range(0, len(curve), length)]
    return [(part[len(part) // 2][0], _mean(part)) for part in parts]


def _mean(curve: Curve) -> float:
    return sum(value for _, value in curve) / len(curve)
