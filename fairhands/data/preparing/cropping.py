"""The stage that cuts hands out of pictures, with what the filters need to know of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...hands.crops import square_around, square_crops
from ...hands.hand import Box
from ..problems import Problems
from . import measures
from .pieces import Pieces
from .reading import read_picture
from .records import Crop, Found, Picture, rows_of, write_piece
from .settings import CropSettings

PICTURES_IN_PIECE = 64
ENDINGS = {"webp": "webp", "png": "png", "jpeg": "jpg"}

WithHands = tuple[Picture, list[Found]]


def cut_crops(title: str, pictures: Sequence[WithHands], settings: CropSettings, pieces: Pieces) -> None:
    """Make the pieces of this stage: each hand's crop as a file and as a row."""
    pieces.make(title, pictures, _described, partial(_cut_piece, settings=settings))


def crops_of(pieces: Pieces, work: Path) -> list[Crop]:
    """The crops of all pieces in order; their files are named from the folder of the work on."""
    return [
        Crop.of({**row, "file": (folder / row["file"]).relative_to(work).as_posix()}) for folder, row in rows_of(pieces)
    ]


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    """A picture, uint8 [H, W, 3], as float [3, H, W], 0..255."""
    return torch.from_numpy(picture).permute(2, 0, 1).float()


def square_crop(picture: torch.Tensor, box: Box, settings: CropSettings) -> np.ndarray:
    """The crop around a box of a picture, float [3, H, W], 0..255, as uint8 [S, S, 3]."""
    crop = square_crops(picture, [box], settings.size, settings.margin)[0]
    return crop.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def box_in_crop(box: Box, settings: CropSettings, height: int, width: int) -> Box:
    """Where a box of a picture of that size lies in its crop, in the crop's pixels."""
    left, top, side = square_around(box, settings.margin, height, width)
    scale = settings.size / side
    x, y, box_width, box_height = box
    return (
        round((x - left) * scale, 2),
        round((y - top) * scale, 2),
        round(box_width * scale, 2),
        round(box_height * scale, 2),
    )


def encoded(picture: np.ndarray, settings: CropSettings) -> bytes:
    """A picture, uint8 [H, W, 3], as a file's content."""
    content = BytesIO()
    choices: dict[str, Any] = {} if settings.format == "png" else {"quality": settings.quality}
    if settings.format == "jpeg":
        choices["subsampling"] = 0
    Image.fromarray(picture).save(content, settings.format.upper(), **choices)
    return content.getvalue()


def _described(item: WithHands) -> list[Any]:
    picture, hands = item
    return [*picture.described(), [[hand.box, hand.score] for hand in hands]]


def _cut_piece(pictures: Sequence[WithHands], folder: Path, settings: CropSettings) -> None:
    problems, crops = Problems(), []
    for picture, hands in pictures:
        pixels = read_picture(picture.example.picture, problems)
        if pixels is not None:
            tensor = as_tensor(pixels)
            crops += [_cut(picture, number, hand, tensor, folder, settings) for number, hand in enumerate(hands)]
    write_piece(folder, crops, problems)


def _cut(
    picture: Picture, number: int, hand: Found, pixels: torch.Tensor, folder: Path, settings: CropSettings
) -> Crop:
    """Write one hand's crop into a piece's folder."""
    look = measures.standard_look(pixels, hand.box)
    crop = Crop(
        file="",
        sha256="",
        key=f"{picture.key}_{number}",
        picture=picture.key,
        pair=picture.pair,
        kind=picture.kind,
        source=picture.source,
        width=0,
        height=0,
        box=hand.box,
        hand=hand.box,
        score=hand.score,
        sharpness=measures.sharpness(look),
        hash=measures.looks(look),
    )
    return write_crop(crop, pixels, folder, settings)


def write_crop(crop: Crop, picture: torch.Tensor, folder: Path, settings: CropSettings) -> Crop:
    """Cut a crop's box out of a picture, float [3, H, W], 0..255, into a file of a piece.

    Returns: the crop with all that depends on the picture's size and on the file.
    """
    height, width = picture.shape[1:]
    file = f"{crop.key}.{ENDINGS[settings.format]}"
    content = encoded(square_crop(picture, crop.box, settings), settings)
    (folder / file).write_bytes(content)
    return replace(
        crop,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
        hand=box_in_crop(crop.box, settings, height, width),
    )
