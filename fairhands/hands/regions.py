"""The separate parts of a mask."""

import cv2
import numpy as np
import torch

from .hand import Box


def regions(mask: torch.Tensor, smallest: float = 1e-4) -> list[Box]:
    """The box of each connected part of a mask, the largest part first.

    `mask`: `[H, W]`, 0..1, on any device. A pixel belongs to a part where it is at least half as bright as the
    brightest, so a faint mask has parts too and soft edges don't glue hands together.
    `smallest`: parts below this share of the picture's pixels are specks and left out.
    """
    values = mask.detach().float().cpu().numpy()
    if values.size == 0 or not values.max() > 0:
        return []
    bright = (values >= values.max() / 2).astype(np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    # The first row is the background.
    parts = [row for row in statistics[1:] if row[cv2.CC_STAT_AREA] >= smallest * values.size]
    parts.sort(key=lambda row: int(row[cv2.CC_STAT_AREA]), reverse=True)
    return [_box(row) for row in parts]


def _box(row: np.ndarray) -> Box:
    x, y, width, height = (float(value) for value in row[: cv2.CC_STAT_AREA])
    return x, y, width, height
