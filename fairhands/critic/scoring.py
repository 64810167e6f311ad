"""How likely the hands in a picture are right, by a critic."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..hands.crops import square_crops
from ..hands.hand import Box
from .network import Critic

HANDS_AT_ONCE = 32


@torch.no_grad()
def hand_scores(critic: Critic, picture: Tensor, boxes: Sequence[Box], text: Tensor | None = None) -> list[float]:
    """How likely each hand of a picture is right, 0..1, calibrated as the critic is.

    A hand's score does not depend on the other hands. The critic judges where its weights are, in their precision.

    Args:
        critic: in eval mode.
        picture: float `[3, H, W]` in 0..1, RGB.
        boxes: of the hands, in pixels.
        text: embedding `[1, D]` for a critic that was trained with texts; None judges without one.

    Raises:
        ValueError: a picture or text of another shape, or a score that is no number, as of a text that is none.
    """
    weight = next(critic.parameters())
    scores: list[float] = []
    for first in range(0, len(boxes), HANDS_AT_ONCE):
        some = boxes[first : first + HANDS_AT_ONCE]
        crops = square_crops(picture, some, critic.input_size, critic.config.margin)
        logits = critic(crops.to(weight), text)
        # In double precision, because in single a sigmoid takes all that is above 17 for the same 1.
        probabilities = critic.probability(logits.cpu().double())
        if not probabilities.isfinite().all():
            raise ValueError("the discriminator's score is not a number: its text, or its weights, are not finite.")
        scores += probabilities.tolist()
    return scores
