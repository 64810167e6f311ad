"""What a benchmark leaves: figures as JSON and CSV, a plot of rates, a sheet of pictures side by side."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..training.sheet import write_sheet
from ..whole_files import write_whole

SHOWN = 12


@dataclass(frozen=True)
class Figures:
    """One setting's figures; `hand_confidence` is None where no hand is found, `background_psnr` (dB) without mask."""

    n: int
    right_rate: float
    right_rate_ci95: tuple[float, float]
    hand_probability: float
    hand_confidence: float | None
    fid: float
    kid: float
    background_psnr: float | None
    seconds_per_image: float


def write_report(
    folder: Path, figures: Mapping[str, Figures], pictures: Mapping[str, Tensor], notes: Mapping[str, Any]
) -> None:
    """Write `benchmark.json`, `.csv`, `.png` and `pictures.png` into the folder.

    Args:
        folder: made if it is missing.
        figures: by the setting's name, in the order to show them in.
        pictures: of the same settings, uint8 [N, 3, H, W]; the same place is the same noise.
        notes: how the figures were made; kept in the JSON beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {name: asdict(values) for name, values in figures.items()}
    text = json.dumps({"settings": settings, **notes}, indent=2) + "\n"
    write_whole(folder / "benchmark.json", text.encode())
    write_whole(folder / "benchmark.csv", _table(settings).encode())
    write_whole(folder / "benchmark.png", plot(figures))
    shown = torch.cat([some[:SHOWN] for some in pictures.values()]) / 255
    write_sheet(folder / "pictures.png", shown, len(shown) // len(pictures))


def _table(settings: Mapping[str, Mapping[str, Any]]) -> str:
    text = StringIO()
    columns = list(next(iter(settings.values())))
    writer = csv.writer(text, lineterminator="\n")
    low_high = ["right_rate_ci95_low", "right_rate_ci95_high"]
    place = columns.index("right_rate_ci95")
    writer.writerow(["setting", *columns[:place], *low_high, *columns[place + 1 :]])
    for name, values in settings.items():
        row = [values[column] for column in columns]
        writer.writerow([name, *row[:place], *row[place], *row[place + 1 :]])
    return text.getvalue()


def plot(figures: Mapping[str, Figures]) -> bytes:
    """The rates of right hands with their 95% intervals, as a PNG."""
    figure = Figure(figsize=(1.6 + 1.4 * len(figures), 3.6), layout="constrained")
    axes = figure.subplots()
    for place, values in enumerate(figures.values()):
        low, high = values.right_rate_ci95
        around = [[values.right_rate - low], [high - values.right_rate]]
        axes.bar(place, values.right_rate, color="tab:blue", width=0.6)
        axes.errorbar(place, values.right_rate, yerr=around, color="black", capsize=4)
        axes.annotate(f"{values.right_rate:.0%}", (place, high), (0, 4), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(figures)), list(figures))
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("rate of right hands, 95% interval")
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def summary(figures: Mapping[str, Figures]) -> str:
    """The figures as a table to be read in a terminal."""
    lines = [
        f"{'setting':<16}{'right':>7}{'95% interval':>16}{'found':>8}{'conf.':>8}"
        f"{'FID':>9}{'KID':>10}{'PSNR':>8}{'s/image':>9}"
    ]
    for name, values in figures.items():
        low, high = values.right_rate_ci95
        confidence = "-" if values.hand_confidence is None else f"{values.hand_confidence:.3f}"
        psnr = "-" if values.background_psnr is None else f"{values.background_psnr:.1f}"
        lines.append(
            f"{name:<16}{values.right_rate:>7.1%}{f'{low:.1%} - {high:.1%}':>16}{values.hand_probability:>8.1%}"
            f"{confidence:>8}{values.fid:>9.3f}{values.kid:>10.4f}{psnr:>8}{values.seconds_per_image:>9.2f}"
        )
    return "\n".join(lines)
