"""What became of all pictures: counts for each stage and filter, what was wrong, and sheets to look at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from ..problems import Problems
from .filters import Dropped, Item
from .records import Crop
from .sheets import Row, Shown, some, write_sheet

FOLDER = "report"


@dataclass
class Report(Generic[Item]):
    """Collects what the stages tell.

    `counts`: by stage, in the order of the stages, then by what is counted. `kept`, `dropped`: crops or pictures, of
    which the sheets show some.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    kept: list[Item] = field(default_factory=list)
    dropped: list[Dropped[Item]] = field(default_factory=list)

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

    def nothing_left(self, what: str) -> "NothingLeft":
        """What to raise where nothing of that sort is left."""
        told = (
            f"{stage}: " + ", ".join(f"{number} {name}" for name, number in counted.items())
            for stage, counted in self.counts.items()
        )
        lines = self.problems.lines
        first = f"; the first of {len(lines)} problems: {lines[0]}" if lines else ""
        return NothingLeft(f"No {what} is left to pack ({'; '.join(told)}{first}).")


class NothingLeft(ValueError):
    """A preparation without anything to pack; its text says what became of the pictures."""


def write_words(report: Report[Any], folder: Path, **more: Any) -> None:
    """Write the counts and problems as JSON, with plain values that it says too, and as text."""
    told = json.dumps({**report.plain(), **more}, indent=2, ensure_ascii=False)
    (folder / "report.json").write_text(told + "\n", encoding="utf-8", newline="\n")
    (folder / "report.txt").write_text(report.text(), encoding="utf-8", newline="\n")


def write_report(report: Report[Crop], work: Path, folder: Path) -> None:
    """Write the report's files; `work`: what the crops' files are named from."""
    folder.mkdir()
    write_words(report, folder)
    write_sheet(folder / "kept.png", kept_rows(report.kept, work))
    write_sheet(folder / "dropped.png", dropped_rows(report.dropped, work))


def kept_rows(crops: Sequence[Crop], work: Path) -> list[Row]:
    """A row for real crops, for fakes, and for the estimates of each."""
    sorts: dict[str, list[Crop]] = {}
    for crop in crops:
        sorts.setdefault(f"{crop.kind} hands{', as estimated' if crop.level else ''}", []).append(crop)
    return [
        Row(f"{sort}: {len(group):,} kept", [_shown(work, crop, _label(crop)) for crop in some(group)])
        for sort, group in sorts.items()
    ]


def dropped_rows(dropped: Sequence[Dropped[Crop]], work: Path) -> list[Row]:
    """A row for each filter and kind, in the order in which they first dropped a crop."""
    sorts: dict[str, list[Dropped[Crop]]] = {}
    for entry in dropped:
        sorts.setdefault(f"{entry.item.kind} hands: {entry.reason}", []).append(entry)
    return [
        Row(
            f"{sort}: {len(group):,} dropped",
            [_shown(work, one.item, figure_of(one)) for one in some(group)],
        )
        for sort, group in sorts.items()
    ]


def _label(crop: Crop) -> str:
    if crop.level:
        return f"timestep {crop.level}"
    return "not scored" if crop.score is None else f"score {crop.score:.2f}"


def _shown(work: Path, crop: Crop, label: str) -> Shown:
    return Shown(work / crop.file, label, [(crop.hand, "yellow")])


def figure_of(dropped: Dropped[Any]) -> str:
    """What is said below an example of what a filter dropped."""
    return dropped.reason if dropped.figure is None else f"{dropped.figure:.4g}"
