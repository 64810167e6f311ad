"""Sheets of pictures with captions: tiles of one size in rows, thin white gaps between."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFont

from fairhands.hands.preview import outline

GAP, SIDE = 6, 152
LETTERS = 19
CAPTION = LETTERS + 10
ENLARGED = 10
INK = (40, 40, 40)


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet, and what stands above it; nothing where the row above says it already."""

    picture: Image.Image
    caption: str = ""


def sheet(rows: Sequence[Sequence[Tile]], side: int = SIDE) -> Image.Image:
    """The tiles, each scaled to `side` pixels, in rows; a row without captions takes no room for them."""
    font = ImageFont.load_default(LETTERS)
    captions = [CAPTION if any(tile.caption for tile in row) else 0 for row in rows]
    width = max(len(row) for row in rows) * (side + GAP) - GAP
    height = len(rows) * (side + GAP) - GAP + sum(captions)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row, room in zip(rows, captions, strict=True):
        for number, tile in enumerate(row):
            left = number * (side + GAP)
            middle = (left + side / 2, top + room / 2)
            draw.text(middle, tile.caption, fill=INK, font=font, anchor="mm")
            canvas.paste(tile.picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (left, top + room))
        top += room + side + GAP
    return canvas


def columns(captions: Sequence[str], pictures: Sequence[Sequence[Image.Image]], side: int = SIDE) -> Image.Image:
    """A column for each caption, of the pictures given for it."""
    first = [Tile(column[0], caption) for caption, column in zip(captions, pictures, strict=True)]
    rest = [[Tile(picture) for picture in row] for row in list(zip(*pictures, strict=True))[1:]]
    return sheet([first, *rest], side)


def changes(before: Image.Image, after: Image.Image) -> Image.Image:
    """How much each pixel differs, ENLARGED times."""
    return ImageEnhance.Brightness(ImageChops.difference(before, after)).enhance(ENLARGED)


def outlined(pictures: Sequence[Image.Image], masks: Sequence[Image.Image]) -> list[Image.Image]:
    """Each picture with the outline of its mask."""
    return [
        outline(picture, torch.from_numpy(np.asarray(mask.convert("L")) / 255))
        for picture, mask in zip(pictures, masks, strict=True)
    ]


def save(picture: Image.Image, file: Path) -> None:
    """Write a JPEG, or a PNG of at most 256 colours, by the file's ending."""
    if file.suffix == ".png":
        picture.quantize(256).save(file, optimize=True)
    else:
        picture.save(file, quality=85, optimize=True)
