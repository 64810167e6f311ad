"""Pictures as detectors want them: contiguous uint8 RGB `[H, W, 3]`."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """A picture as contiguous uint8 RGB `[H, W, 3]`, without a copy where it is that already.

    `picture`: uint8, or floating point 0..1; `[H, W]`, `[H, W, 1]`, `[H, W, 3]` or `[H, W, 4]` (alpha is left out).
    Raises ValueError for another shape.
    """
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or 0 in picture.shape:
        raise ValueError(f"picture has the shape {list(picture.shape)}, expected [height, width, 3 (or 1 or 4)].")
    if picture.dtype != np.uint8:
        picture = np.rint(np.clip(np.nan_to_num(picture.astype(np.float32)), 0.0, 1.0) * 255).astype(np.uint8)
    if picture.shape[2] == 1:
        picture = picture.repeat(3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def as_rgb_batch(pictures: torch.Tensor | Sequence[np.ndarray]) -> Iterable[np.ndarray]:
    """Each picture of a ComfyUI IMAGE (`[B, H, W, C]`, float 0..1, on any device) or of a sequence, by `as_rgb`."""
    if isinstance(pictures, torch.Tensor):
        if pictures.ndim != 4:
            raise ValueError(f"pictures have the shape {list(pictures.shape)}, expected [batch, height, width, 3].")
        return (as_rgb(picture.detach().cpu().float().numpy()) for picture in pictures)
    return (as_rgb(picture) for picture in pictures)
