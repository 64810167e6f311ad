"""Square crops around boxes, differentiable to the picture."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from .hand import Box

SMALLEST_SQUARE = 8


def square_crops(picture: torch.Tensor, boxes: Sequence[Box], size: int, margin: float) -> torch.Tensor:
    """Cut a square around each box and resize it, with antialiasing.

    `picture`: float `[C, H, W]`; `margin`: context on each side, relative to the box's longer side, 0 or more.
    A square that leaves the picture is moved inside; one that is larger than the picture is continued by its edge.
    Returns `[N, C, size, size]`; gradients flow to the picture.
    """
    if not boxes:
        return picture.new_zeros(0, picture.shape[0], size, size)
    height, width = picture.shape[-2:]
    crops = [_crop(picture, *square_around(box, margin, width, height)) for box in boxes]
    resized = [
        functional.interpolate(crop[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        for crop in crops
    ]
    return torch.cat(resized)


def square_around(box: Box, margin: float, width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side of the square around a box, moved inside a picture of that size where it fits."""
    x, y, box_width, box_height = box
    side = max(SMALLEST_SQUARE, round(max(box_width, box_height) * (1 + 2 * margin)))
    left = _moved_inside(round(x + box_width / 2 - side / 2), side, width)
    top = _moved_inside(round(y + box_height / 2 - side / 2), side, height)
    return left, top, side


def _moved_inside(start: int, side: int, length: int) -> int:
    if side >= length:
        return (length - side) // 2
    return min(max(start, 0), length - side)


def _crop(picture: torch.Tensor, left: int, top: int, side: int) -> torch.Tensor:
    height, width = picture.shape[-2:]
    rows = torch.arange(top, top + side, device=picture.device).clamp(0, height - 1)
    columns = torch.arange(left, left + side, device=picture.device).clamp(0, width - 1)
    return picture[:, rows][:, :, columns]
