"""The hand mask that accumulates while sampling: it only grows."""

from collections.abc import Sequence

import torch

from ..hands.hand import Hand
from ..hands.masks import MaskStyle, draw_masks, fit_mask, mask_to_latent


class CumulativeMask:
    """The hand mask M of each image of a batch, at the picture's size.

    `start`: a mask known before sampling, `[H, W]` or `[B, H, W]` of any size, 0..1, or None for an empty one.
    `picture`: float32 `[B, height, width]`, 0..1.
    Raises ValueError where the start mask's batch does not fit.
    """

    def __init__(self, batch: int, height: int, width: int, style: MaskStyle, start: torch.Tensor | None = None):
        self.style = style
        # ComfyUI builds its nodes' tensors in inference mode; this one is changed outside of it.
        with torch.inference_mode(False):
            if start is None:
                self.picture = torch.zeros(batch, height, width)
            else:
                self.picture = fit_mask(start.clone().cpu(), batch, height, width)

    def add(self, image: int, hands: Sequence[Hand]) -> None:
        """Join the mask of one image with the hands found in it."""
        if hands:
            height, width = self.picture.shape[1:]
            drawn = torch.from_numpy(draw_masks(hands, height, width, self.style))
            self.picture[image] = torch.maximum(self.picture[image], drawn)

    def latent(self, image: int, height: int, width: int) -> torch.Tensor:
        """The mask of one image at latent size, by area: float32 `[height, width]`, 0..1."""
        return mask_to_latent(self.picture[image : image + 1], height, width)[0]

    def area(self, image: int) -> float:
        """The share of one picture that its mask covers, 0..1."""
        return float(self.picture[image].mean())
