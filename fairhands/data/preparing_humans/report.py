"""What became of all pictures of people: counts and problems, and sheets of examples with their boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..preparing.filters import Dropped
from ..preparing.report import Report, figure_of, write_words
from ..preparing.sheets import MOST, Row, Shown, some, write_sheet
from .records import FACE, HAND, Part, Person, Seen

COLOURS = {FACE: "lime", HAND: "yellow"}
SIDE = 240

PeopleReport = Report[Part | Seen]


def write_report(report: PeopleReport, people: Sequence[Person], folder: Path, **more: Any) -> None:
    """Write the report's files into a new folder; `people`: what was kept, `more`: plain values for its JSON."""
    folder.mkdir()
    write_words(report, folder, **more)
    write_sheet(folder / "kept.png", kept_rows(people), SIDE)
    write_sheet(folder / "dropped.png", dropped_rows(report.dropped), SIDE)


def kept_rows(people: Sequence[Person]) -> list[Row]:
    """Some of the pictures with their boxes, then, for each kind of map, some pictures each with its map beside it."""
    title = f"{len(people):,} kept; faces green, hands yellow"
    rows = [Row(title, [_with_boxes(person.seen, person.text) for person in some(people)])]
    for kind in sorted({kind for person in people for kind in person.maps}, reverse=True):
        mapped = [person for person in people if kind in person.maps]
        pairs = [
            (_with_boxes(person.seen, person.text), Shown(person.maps[kind].file, kind))
            for person in some(mapped, MOST // 2)
        ]
        rows.append(Row(f"{len(mapped):,} of them with {kind}", [shown for pair in pairs for shown in pair]))
    return rows


def dropped_rows(dropped: Sequence[Dropped[Part | Seen]]) -> list[Row]:
    """A row for each filter and sort, in the order in which they first dropped something."""
    sorts: dict[str, list[Dropped[Part | Seen]]] = {}
    for entry in dropped:
        what = f"{entry.item.region}s" if isinstance(entry.item, Part) else "pictures"
        sorts.setdefault(f"{what}: {entry.reason}", []).append(entry)
    return [
        Row(f"{sort}: {len(group):,} dropped", [_dropped(entry) for entry in some(group)])
        for sort, group in sorts.items()
    ]


def _dropped(entry: Dropped[Part | Seen]) -> Shown:
    item = entry.item
    if isinstance(item, Part):
        return Shown(item.file, figure_of(entry), [(item.box, COLOURS[item.region])])
    return _with_boxes(item, figure_of(entry))


def _with_boxes(seen: Seen, label: str) -> Shown:
    return Shown(seen.picture.example.picture, label, [(part.box, COLOURS[part.region]) for part in seen.parts])
