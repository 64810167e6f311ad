"""What is measured on the mannequin world's figures: their raised hands, as the judge sees them."""

import torch
from torch import Tensor
from torch.nn import functional

from ..data.mannequin import draw
from .fingers import INPUT_SIZE, VERDICTS

HAND_LEFT, HAND_TOP, HAND_SIDE = 0.46, 0.43, 0.375
"""The square of a figure's picture that its hand never leaves, in the picture's side."""


def hand_crops(pictures: Tensor) -> Tensor:
    """The part of figures that shows the raised hand.

    Args:
        pictures: float [N, 3, S, S] in 0..1.

    Returns:
        float [N, 3, 128, 128] in 0..1, for `FingerJudge`.
    """
    size = pictures.shape[-1]
    left, top, side = (round(share * size) for share in (HAND_LEFT, HAND_TOP, HAND_SIDE))
    crops = pictures[..., top : top + side, left : left + side]
    shape = (INPUT_SIZE, INPUT_SIZE)
    return functional.interpolate(crops, shape, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def drawn_figures(first_seed: int, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Figures to try a judge on: float [N, 3, S, S] in 0..1, and their true verdicts, int64 [N]."""
    scenes = [draw(first_seed + number, size, body=True, studio=True) for number in range(count)]
    pictures = torch.stack([torch.from_numpy(scene.picture).permute(2, 0, 1) for scene in scenes]).float() / 255
    return pictures, torch.tensor([VERDICTS.index(scene.kind[0]) for scene in scenes])
