"""Regions at latent size, exact by area: each cell holds the share of it that belongs to the region.

Nothing is sampled at points, so the smallest hand counts, with just its area.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ..hands.hand import Box
from .placement import Placement

WHITE = 128  # from here on a pixel of a mask counts for where its region is


def box_mask(boxes: Sequence[Box], placement: Placement, cells: int) -> np.ndarray:
    """The share of each latent cell that a union of boxes covers, float32 [h, w] in 0..1.

    Args:
        boxes: in pixels of the picture; what lies outside of the bucket does not count.
        placement: of the picture.
        cells: pixels on the side of a latent cell.
    """
    corners = [(x, x + w, y, y + h) for x, y, w, h in boxes]
    xs = np.unique([x for left, right, _, _ in corners for x in (left, right)])
    ys = np.unique([y for _, _, top, bottom in corners for y in (top, bottom)])
    covered = np.zeros((max(0, len(ys) - 1), max(0, len(xs) - 1)))
    for left, right, top, bottom in corners:
        rows = slice(*np.searchsorted(ys, (top, bottom)))
        columns = slice(*np.searchsorted(xs, (left, right)))
        covered[rows, columns] = 1
    return _shares(covered, xs, ys, placement, cells)


def picture_mask(mask: np.ndarray, placement: Placement, cells: int) -> np.ndarray:
    """The mean of a mask in each latent cell, float32 [h, w] in 0..1.

    Args:
        mask: of the picture, uint8 [H, W], 255 where the region is.
        placement: of the picture.
        cells: pixels on the side of a latent cell.
    """
    width, height = placement.picture
    edges = np.arange(width + 1), np.arange(height + 1)
    return _shares(mask.astype(np.float32) / 255, *edges, placement, cells)


def boxes_of_mask(mask: np.ndarray) -> list[Box]:
    """The box around each connected part of a mask, uint8 [H, W]."""
    found = cv2.connectedComponentsWithStats((mask >= WHITE).astype(np.uint8))[2][1:]  # without the background
    return [(float(x), float(y), float(width), float(height)) for x, y, width, height, _ in found]


def with_errors(boxes: Sequence[Box], noise: float, generator: torch.Generator) -> list[Box]:
    """Boxes as a worse detector would give them.

    Centre and size are perturbed by normal errors e: x + noise e_x width, width exp(noise e_w), likewise y and height.

    Args:
        boxes: x, y, width, height.
        noise: standard deviation of the errors, relative to the boxes' sides; 0 changes nothing.
        generator: on the processor.
    """
    errors = torch.randn(len(boxes), 4, generator=generator, dtype=torch.float64) * noise
    found = []
    for (x, y, width, height), (right, down, wider, higher) in zip(boxes, errors.numpy(), strict=True):
        across, along = width * float(np.exp(wider)), height * float(np.exp(higher))
        middle = x + width * (0.5 + float(right)), y + height * (0.5 + float(down))
        found.append((middle[0] - across / 2, middle[1] - along / 2, across, along))
    return found


def _shares(values: np.ndarray, xs: np.ndarray, ys: np.ndarray, placement: Placement, cells: int) -> np.ndarray:
    """Values on a grid, [len(ys) - 1, len(xs) - 1] between lines of the picture, as means over latent cells."""
    width, height = placement.bucket
    across = _overlaps(placement.across(xs) / cells, width // cells)
    down = _overlaps(placement.down(ys) / cells, height // cells)
    return (down.astype(values.dtype) @ values @ across.astype(values.dtype).T).clip(0, 1).astype(np.float32)


def _overlaps(lines: np.ndarray, cells: int) -> np.ndarray:
    """The length of each cell [n, n + 1] that lies between neighbouring lines, float64 [cells, len(lines) - 1]."""
    low, high = np.minimum(lines[:-1], lines[1:]), np.maximum(lines[:-1], lines[1:])
    starts = np.arange(cells)[:, None]
    return (np.minimum(high, starts + 1) - np.maximum(low, starts)).clip(0)
