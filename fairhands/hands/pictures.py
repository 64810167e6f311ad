"""Pictures as detectors want them: contiguous uint8 RGB `[H, W, 3]`."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """A picture as contiguous uint8 RGB `[H, W, 3]`, without a copy where it is that already.

    `picture`: uint8, or floating point 0..1; `[H, W]`, `[H, W, 1]`, `[H, W, 3]` or `[H, W, 4]` (alpha is left out).
    Raises ValueError for another shape or type.
    """
    if not isinstance(picture, np.ndarray):
        raise ValueError(f"picture is a {type(picture).__name__}, expected a NumPy array [height, width, 3].")
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or 0 in picture.shape:
        raise ValueError(f"picture has the shape {list(picture.shape)}, expected [height, width, 3 (or 1 or 4)].")
    if picture.dtype != np.uint8:
        picture = _as_bytes(picture)
    if picture.shape[2] == 1:
        picture = picture.repeat(3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def as_rgb_batch(pictures: torch.Tensor | Sequence[np.ndarray]) -> Iterable[np.ndarray]:
    """Each picture of a ComfyUI IMAGE (`[B, H, W, C]`, float 0..1, on any device) or of a sequence, by `as_rgb`.

    Raises ValueError for another shape or type.
    """
    if not isinstance(pictures, torch.Tensor):
        return (as_rgb(picture) for picture in pictures)
    if pictures.ndim != 4:
        raise ValueError(f"pictures have the shape {list(pictures.shape)}, expected [batch, height, width, 3].")
    return (as_rgb(_on_cpu(picture)) for picture in pictures.detach())


def _as_bytes(picture: np.ndarray) -> np.ndarray:
    """Floats 0..1 as bytes, in one pass: OpenCV rounds, cuts off what is beyond, and takes what is no number as 0."""
    if not np.issubdtype(picture.dtype, np.floating):
        raise ValueError(f"picture holds {picture.dtype}, expected uint8 (0..255) or floating point (0..1).")
    rows = np.ascontiguousarray(picture, dtype=np.float32).reshape(len(picture), -1)
    # OpenCV's type stubs know no scalars.
    return cv2.multiply(rows, 255.0, dtype=cv2.CV_8U).reshape(picture.shape)  # type: ignore[call-overload]


def _on_cpu(picture: torch.Tensor) -> np.ndarray:
    """A GPU turns floats to bytes itself and sends a quarter as much."""
    if not picture.is_floating_point():
        return picture.cpu().numpy()
    if picture.device.type == "cpu":
        return picture.float().numpy()
    return (picture.float() * 255).round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
