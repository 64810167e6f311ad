"""Sheets of example pictures, a row for each sort, to see what was kept and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...hands.hand import Box

SIDE = 144
TITLE_HEIGHT = 26
LABEL_HEIGHT = 20
GAP = 6
MOST = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shown:
    """A picture of a sheet: its file, the label below it, and boxes to outline, in its pixels, each with its colour."""

    file: Path
    label: str
    boxes: Sequence[tuple[Box, str]] = ()


@dataclass(frozen=True)
class Row:
    """A row of a sheet: its title, and pictures."""

    title: str
    pictures: Sequence[Shown]


def some(items: Sequence[Item], most: int = MOST) -> list[Item]:
    """At most so many of the items, spread evenly over them."""
    count = min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def write_sheet(path: Path, rows: Sequence[Row], side: int = SIDE) -> None:
    """Write rows of pictures, each with its title above and labels below, as a PNG; `side`: of a picture at most."""
    height = TITLE_HEIGHT + side + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (GAP + MOST * (side + GAP), max(1, len(rows)) * height), "white")
    for number, row in enumerate(rows):
        _draw_row(sheet, row, number * height, side)
    if not rows:
        _write(sheet, (GAP, GAP), "none", 16)
    sheet.save(path, "PNG")


def _draw_row(sheet: Image.Image, row: Row, top: int, side: int) -> None:
    _write(sheet, (GAP, top + 4), row.title, 16)
    for column, shown in enumerate(row.pictures[:MOST]):
        left = GAP + column * (side + GAP)
        sheet.paste(_thumbnail(shown, side), (left, top + TITLE_HEIGHT))
        _write(sheet, (left, top + TITLE_HEIGHT + side + 2), _fitting(shown.label, side), 12)


def _thumbnail(shown: Shown, side: int) -> Image.Image:
    """The picture within a square, upright as its camera says."""
    with Image.open(shown.file) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    scale = side / max(picture.size)
    small = picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.LANCZOS)
    for box, colour in shown.boxes:
        x, y, width, height = (value * scale for value in box)
        ImageDraw.Draw(small).rectangle((x, y, x + width, y + height), outline=colour)
    return small


def _fitting(label: str, side: int) -> str:
    """A label no wider than its picture."""
    font = ImageFont.load_default(12)
    if font.getlength(label) <= side:
        return label
    most = max(length for length in range(len(label)) if font.getlength(f"{label[:length]}...") <= side)
    return f"{label[:most]}..."


def _write(sheet: Image.Image, place: tuple[int, int], text: str, size: int) -> None:
    ImageDraw.Draw(sheet).text(place, text, "black", ImageFont.load_default(size))
