"""The hand mask that accumulates while sampling."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..hands.hand import Hand, by_score
from ..hands.masks import MaskStyle, draw_masks, fit_mask, mask_to_latent


@dataclass(frozen=True)
class MaskGrowth:
    """How the mask accumulates.

    `largest`: share of the picture, above 0 and up to 1; a hand with which the mask would grow beyond it is left out,
    the most certain hand comes first. `remember`: 0 lets the mask only grow, as in MGHanD; n > 0 lets it shrink back
    to what was given at the start and the last n detections, for objects that a growing mask swallows.
    Raises ValueError for values outside of these.
    """

    largest: float = 1.0
    remember: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.largest <= 1:
            raise ValueError(f"largest mask is {self.largest}, expected a share of the picture above 0 and up to 1.")
        if self.remember < 0:
            raise ValueError(f"remember is {self.remember}, expected 0 (all detections) or more.")


class CumulativeMask:
    """The hand mask M of each image of a batch, at the picture's size.

    `start`: a mask known before sampling, `[H, W]` or `[B, H, W]` of any size, 0..1, or None for an empty one.
    `picture`: float32 `[B, height, width]`, 0..1.
    Raises ValueError where the start mask's batch does not fit.
    """

    def __init__(
        self,
        batch: int,
        height: int,
        width: int,
        style: MaskStyle,
        start: torch.Tensor | None = None,
        growth: MaskGrowth = MaskGrowth(),
    ):
        self.style = style
        self.growth = growth
        # ComfyUI builds its nodes' tensors in inference mode; this one is changed outside of it.
        with torch.inference_mode(False):
            if start is None:
                self.picture = torch.zeros(batch, height, width)
            else:
                self.picture = fit_mask(start.clone().cpu(), batch, height, width)
            self._given = self.picture.clone()
        self._seen: list[deque[torch.Tensor]] = [deque(maxlen=growth.remember or None) for _ in range(batch)]

    def add(self, image: int, hands: Sequence[Hand]) -> list[Hand]:
        """Join the mask of one image with the hands found in it; those that the mask has now, best score first."""
        if not hands:
            return []
        self.picture[image], kept = self._join(self._before(image), hands)
        if self.growth.remember:
            self._seen[image].append(self._drawn(kept))
        return kept

    def draw(self, hands: Sequence[Hand]) -> torch.Tensor:
        """A mask `[height, width]` of hands alone, in this mask's style and up to its largest size."""
        return self._join(torch.zeros_like(self.picture[0]), hands)[0]

    def add_mask(self, image: int, mask: torch.Tensor) -> None:
        """Join the mask of one image with another one `[height, width]`, which stays."""
        self._given[image] = torch.maximum(self._given[image], mask)
        self.picture[image] = torch.maximum(self.picture[image], mask)

    def latent(self, image: int, height: int, width: int) -> torch.Tensor:
        """The mask of one image at latent size, by area: float32 `[height, width]`, 0..1."""
        return mask_to_latent(self.picture[image : image + 1], height, width)[0]

    def area(self, image: int) -> float:
        """The share of one picture that its mask covers, 0..1."""
        return float(self.picture[image].mean())

    def _join(self, mask: torch.Tensor, hands: Sequence[Hand]) -> tuple[torch.Tensor, list[Hand]]:
        """A mask with the hands that it can take, and those hands."""
        kept = []
        for hand in by_score(hands):
            joined = torch.maximum(mask, self._drawn([hand]))
            # What a mask that was given covers already does not make it larger.
            if float(joined.mean()) <= max(self.growth.largest, float(mask.mean())):
                mask = joined
                kept.append(hand)
        return mask, kept

    def _drawn(self, hands: Sequence[Hand]) -> torch.Tensor:
        _, height, width = self.picture.shape
        return torch.from_numpy(draw_masks(hands, height, width, self.style))

    def _before(self, image: int) -> torch.Tensor:
        """What new hands are joined with: all of the mask, or what is remembered of it."""
        if not self.growth.remember:
            return self.picture[image]
        recent = list(self._seen[image])[-(self.growth.remember - 1) :] if self.growth.remember > 1 else []
        return torch.stack([self._given[image], *recent]).amax(dim=0)
