"""Textual guidance: the difference that a hand LoRA makes, inside the hand mask (MGHanD, arXiv 2503.08133).

denoised += M * v * (prediction with the hand LoRA - prediction without it)
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from .normalisation import masked_rms
from .schedule import Moment, Schedule
from .trace import ImageRecord

AppliesTo = Literal["cond", "both"]


@dataclass(frozen=True)
class TextualSettings:
    """How textual guidance moves the estimate.

    `v`: strength. `applies_to`: the difference is that of the conditional prediction alone, or that of the whole
    prediction after classifier-free guidance, both of its parts with the LoRA.
    Raises ValueError for what else it might apply to.
    """

    v: float
    schedule: Schedule = field(default_factory=lambda: Schedule(curve="constant"))
    applies_to: AppliesTo = "cond"

    def __post_init__(self) -> None:
        if self.applies_to not in get_args(AppliesTo):
            raise ValueError(f"applies_to is {self.applies_to!r}, expected one of {', '.join(get_args(AppliesTo))}.")

    def strength(self, moment: Moment) -> float:
        """What the difference is multiplied with at a step in the window."""
        return self.v * self.schedule.at(moment)


def textual_step(difference: Tensor, mask: Tensor, strength: float, record: ImageRecord) -> Tensor:
    """What to add to one image's estimate; writes the record.

    Args:
        difference: clean estimate with the hand LoRA minus that without, `[C, h, w]`.
        mask: M at latent size, `[h, w]`, 0..1.
        strength: v times its schedule.
        record: of this image.
    """
    if not torch.isfinite(difference).all():
        record.note = record.note or "the hand LoRA's difference is not finite"
        return torch.zeros_like(difference)
    record.difference_rms = masked_rms(difference, mask)
    return strength * mask * difference
