"""What one pass of a training looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..base_models import Text


@dataclass(frozen=True, eq=False)
class Batch:
    """N examples of one size; each tensor's first dimension is N.

    Args:
        latents: of the pictures, float32 [N, C, h, w].
        captions: their texts; an empty one where the caption was dropped.
        sizes: SDXL's further conditions, float32 [N, 6]: height and width of the original, top and left of its crop,
            height and width of the picture.
        masks: for each region, the share of each latent cell that belongs to it, float32 [N, 1, h, w] in 0..1; all
            zero where a picture has none.
        text: the encoded captions, with these sizes; None where text encoders are trained and encode them anew.
        conditioning: what a ControlNet is shown, float32 [N, 3, 8 h, 8 w] in 0..1; None where none is asked for.
    """

    latents: Tensor
    captions: tuple[str, ...]
    sizes: Tensor
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    text: Text | None = None
    conditioning: Tensor | None = None

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(
            self.latents.to(device),
            self.captions,
            self.sizes.to(device),
            {region: mask.to(device) for region, mask in self.masks.items()},
            None if self.text is None else self.text.to(device),
            None if self.conditioning is None else self.conditioning.to(device),
        )
