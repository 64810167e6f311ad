"""What a hand or a picture is judged by before it is learnt from: how sharp it is, and what it looks like."""

import cv2
import numpy as np
import torch

from ...hands.crops import square_crops
from ...hands.hand import Box

STANDARD_SIZE = 128  # sharpness depends on the size that a picture is looked at in


def standard_look(picture: torch.Tensor, box: Box, size: int = STANDARD_SIZE) -> np.ndarray:
    """The square around a box, without margin, as uint8 [size, size] in grey; `picture`: float [3, H, W], 0..255."""
    crop = square_crops(picture, [box], size, margin=0.0)[0]
    colours = crop.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)


def sharpness(look: np.ndarray) -> float:
    """The variance of the Laplacian of a standard look: low where it is blurred or was enlarged."""
    return round(float(cv2.Laplacian(look, cv2.CV_64F).var()), 3)


def looks(look: np.ndarray) -> int:
    """The perceptual hash of a standard look: the signs of its lowest 64 cosine coefficients against their mean."""
    return int.from_bytes(cv2.img_hash.PHash.create().compute(look).tobytes(), "big")
