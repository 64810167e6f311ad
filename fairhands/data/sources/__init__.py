"""Readers of the datasets that hands and people are taken from."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from ..problems import Problems
from . import coco_wholebody, freihand, hagrid, hundred_doh, interhand, metadata, picture_folder
from .example import Example

__all__ = ["LAYOUTS", "SOURCES", "Example", "Reader", "read"]

# From a dataset's folder to its pictures; what is wrong with some of them is noted and does not stop it.
Reader = Callable[[Path, Problems], Iterator[Example]]

_MODULES = {
    "hagrid": hagrid,
    "100doh": hundred_doh,
    "coco_wholebody": coco_wholebody,
    "freihand": freihand,
    "interhand": interhand,
    "folder": picture_folder,
    "metadata": metadata,
}
SOURCES: dict[str, Reader] = {kind: module.read for kind, module in _MODULES.items()}
# What a dataset's folder is expected to hold, a line each.
LAYOUTS: dict[str, str] = {kind: module.LAYOUT for kind, module in _MODULES.items()}


def read(kind: str, folder: Path, problems: Problems) -> list[Example]:
    """All of a dataset's pictures, each once, sorted by file.

    Args:
        kind: one of `SOURCES`.
        folder: where the dataset was unpacked, as `LAYOUTS` says.
        problems: gets all that cannot be used, by file and line or entry.

    Raises:
        ValueError: the kind is unknown, the folder is missing, or nothing in it can be read.
    """
    if kind not in SOURCES:
        raise ValueError(f"The kind of dataset is {kind}, expected one of {', '.join(SOURCES)}.")
    if not folder.is_dir():
        raise ValueError(f"The folder of the dataset {kind} is {folder}, which is no folder.")
    before = len(problems.lines)
    examples = sorted(SOURCES[kind](folder, problems), key=_order)
    if not examples:
        raise ValueError(f"{folder} holds no readable {kind} data{_first(problems.lines[before:])}, {_expected(kind)}.")
    return [_only(list(same), problems) for _, same in groupby(examples, key=_order)]


def _order(example: Example) -> str:
    return example.picture.as_posix()


def _only(same: list[Example], problems: Problems) -> Example:
    """The first annotation of a picture; others are noted, unless they say the same, as those of overlapping splits."""
    first = same[0]
    for other in same[1:]:
        if (other.hands, other.faces, other.text) != (first.hands, first.faces, first.text):
            problems.add("picture annotated twice", other.place, f"{first.place} says something else and is kept")
    return first


def _first(lines: list[str]) -> str:
    return f" ({len(lines)} problems, the first: {lines[0]})" if lines else ""


def _expected(kind: str) -> str:
    return f"expected {LAYOUTS[kind]}"
