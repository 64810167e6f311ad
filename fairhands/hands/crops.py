"""Square crops around boxes, differentiable to the picture."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from .hand import Box


def square_crops(picture: torch.Tensor, boxes: Sequence[Box], size: int, margin: float = 0.25) -> torch.Tensor:
    """A square around each box, `[N, 3, size, size]`, dtype and device of the picture; differentiable to it.

    `picture`: `[3, H, W]`, floating point. `margin`: context on each side, relative to the box's longer side.
    A square that leaves the picture is moved back into it; one that is larger is filled up with the border's pixels.
    Resampling is bilinear and antialiased. No boxes give `[0, 3, size, size]`.
    Raises ValueError for a picture of another shape.
    """
    if picture.ndim != 3 or 0 in picture.shape:
        raise ValueError(f"picture has the shape {list(picture.shape)}, expected [3, height, width].")
    if not boxes:
        return picture.new_zeros(0, picture.shape[0], size, size)
    return torch.cat([_crop(picture, square_around(box, margin, *picture.shape[1:]), size) for box in boxes])


def square_around(box: Box, margin: float, height: int, width: int) -> tuple[int, int, int]:
    """The square around a box as left, top and side in whole pixels; it lies in the picture if its side fits in."""
    x, y, box_width, box_height = box
    side = max(1, round(max(box_width, box_height) * (1 + 2 * margin)))
    return _start(x + box_width / 2, side, width), _start(y + box_height / 2, side, height), side


def _start(centre: float, side: int, length: int) -> int:
    """Where a span of `side` begins: around its centre, moved into 0..length, in the middle of it if it is longer."""
    if side >= length:
        return (length - side) // 2
    return min(max(round(centre - side / 2), 0), length - side)


def _crop(picture: torch.Tensor, square: tuple[int, int, int], size: int) -> torch.Tensor:
    left, top, side = square
    height, width = picture.shape[1:]
    right, bottom = left + side, top + side
    inside = picture[None, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    beyond = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    if any(beyond):
        inside = functional.pad(inside, beyond, mode="replicate")
    return functional.interpolate(inside, (size, size), mode="bilinear", antialias=True, align_corners=False)
