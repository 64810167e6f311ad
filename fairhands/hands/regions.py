"""The separate parts of a mask."""

import cv2
import numpy as np
import torch

from .hand import Box

# Smaller parts, relative to the picture, are specks: left over by resizing, or a user's slip of the brush.
SMALLEST_SHARE = 1e-4


def regions(mask: torch.Tensor | np.ndarray) -> list[Box]:
    """The boxes of the connected parts of a mask `[H, W]` above one half, the largest part first."""
    values = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else mask
    _, _, statistics, _ = cv2.connectedComponentsWithStats((values > 0.5).astype(np.uint8), connectivity=8)
    parts = [row for row in statistics[1:] if row[cv2.CC_STAT_AREA] >= SMALLEST_SHARE * values.size]
    parts.sort(key=lambda row: row[cv2.CC_STAT_AREA], reverse=True)
    corner_and_size = (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)
    return [(*(float(row[field]) for field in corner_and_size),) for row in parts]  # type: ignore[misc]
