"""What became of all pictures: counts for each stage and filter, what was wrong, and sheets to look at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..problems import Problems
from .filters import Dropped
from .records import Crop
from .sheets import Row, Shown, some, write_sheet

FOLDER = "report"


@dataclass
class Report:
    """Collects what the stages tell.

    `counts`: by stage, in the order of the stages, then by what is counted. `kept`, `dropped`: crops, of which the
    sheets show some.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    kept: list[Crop] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Counts and problems as plain values."""
        problems = {"counts": dict(sorted(self.problems.counts.items())), "lines": self.problems.lines}
        return {"stages": self.counts, "problems": problems}

    def text(self) -> str:
        """The same for a reader."""
        lines = []
        for stage, counted in {**self.counts, "problems": dict(sorted(self.problems.counts.items()))}.items():
            lines.append(stage)
            lines += [f"  {number:>9,}  {what}" for what, number in counted.items()] or ["          none"]
        return "\n".join([*lines, "", *self.problems.lines]).rstrip() + "\n"


def write_report(report: Report, work: Path, folder: Path) -> None:
    """Write the report's files; `work`: what the crops' files are named from."""
    folder.mkdir()
    (folder / "report.json").write_text(
        json.dumps(report.plain(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )
    (folder / "report.txt").write_text(report.text(), encoding="utf-8", newline="\n")
    write_sheet(folder / "kept.png", kept_rows(report.kept, work))
    write_sheet(folder / "dropped.png", dropped_rows(report.dropped, work))


def kept_rows(crops: Sequence[Crop], work: Path) -> list[Row]:
    """A row for real crops, for fakes, and for the estimates of each."""
    sorts: dict[str, list[Crop]] = {}
    for crop in crops:
        sorts.setdefault(f"{crop.kind} hands{', as estimated' if crop.level else ''}", []).append(crop)
    return [
        Row(f"{sort}: {len(group):,} kept", [Shown(work / crop.file, _label(crop), crop.hand) for crop in some(group)])
        for sort, group in sorts.items()
    ]


def dropped_rows(dropped: Sequence[Dropped], work: Path) -> list[Row]:
    """A row for each filter and kind, in the order in which they first dropped a crop."""
    sorts: dict[str, list[Dropped]] = {}
    for entry in dropped:
        sorts.setdefault(f"{entry.crop.kind} hands: {entry.reason}", []).append(entry)
    return [
        Row(
            f"{sort}: {len(group):,} dropped",
            [Shown(work / one.crop.file, _figure(one), one.crop.hand) for one in some(group)],
        )
        for sort, group in sorts.items()
    ]


def _label(crop: Crop) -> str:
    if crop.level:
        return f"timestep {crop.level}"
    return "not scored" if crop.score is None else f"score {crop.score:.2f}"


def _figure(dropped: Dropped) -> str:
    return dropped.reason if dropped.figure is None else f"{dropped.figure:.4g}"
