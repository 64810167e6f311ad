"""Sheets of example crops, a row for each sort, to see what was kept and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from ...hands.hand import Box

SIDE = 144
TITLE_HEIGHT = 26
LABEL_HEIGHT = 20
GAP = 6
MOST = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shown:
    """A picture of a sheet: its file, the label below it, and the box to outline, in its pixels."""

    file: Path
    label: str
    box: Box


@dataclass(frozen=True)
class Row:
    """A row of a sheet: its title, and pictures."""

    title: str
    pictures: Sequence[Shown]


def some(items: Sequence[Item], most: int = MOST) -> list[Item]:
    """At most so many of the items, spread evenly over them."""
    count = min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def write_sheet(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of pictures, each with its title above and labels below, as a PNG."""
    height = TITLE_HEIGHT + SIDE + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (GAP + MOST * (SIDE + GAP), max(1, len(rows)) * height), "white")
    for number, row in enumerate(rows):
        _draw_row(sheet, row, number * height)
    if not rows:
        _write(sheet, (GAP, GAP), "none", 16)
    sheet.save(path, "PNG")


def _draw_row(sheet: Image.Image, row: Row, top: int) -> None:
    _write(sheet, (GAP, top + 4), row.title, 16)
    for column, shown in enumerate(row.pictures[:MOST]):
        left = GAP + column * (SIDE + GAP)
        sheet.paste(_thumbnail(shown), (left, top + TITLE_HEIGHT))
        _write(sheet, (left, top + TITLE_HEIGHT + SIDE + 2), shown.label, 12)


def _thumbnail(shown: Shown) -> Image.Image:
    with Image.open(shown.file) as picture:
        small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    x, y, width, height = (value * SIDE / picture.width for value in shown.box)
    ImageDraw.Draw(small).rectangle((x, y, x + width, y + height), outline="yellow")
    return small


def _write(sheet: Image.Image, place: tuple[int, int], text: str, size: int) -> None:
    ImageDraw.Draw(sheet).text(place, text, "black", ImageFont.load_default(size))
