"""Whether a critic's gradient leads to better hands in the eyes of somebody else: what guidance will ask of it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ...base_models.model import BaseModel
from ...data.mannequin import RIGHT
from ...evaluation.fingers import INPUT_SIZE, VERDICTS, FingerJudge
from ...hands.crops import square_crops
from ...hands.detector import HandDetector
from ...hands.hand import Box
from ..network import Critic

Judge = Callable[[Tensor], float]
"""An independent judge: float [3, H, W] in 0..1 -> a score, higher for a better hand."""

STEPS = 10
STEP = 0.1  # of the latents' standard deviation in each, which is what guidance takes at weight 1


def follow(
    critic: Critic, picture: Tensor, box: Box, base: BaseModel, text: Tensor | None = None, weight: float = 1.0
) -> Tensor:
    """A picture after STEPS steps down the critic's loss in latent space, each of the same length.

    Args:
        critic: in evaluation mode.
        picture: float [3, H, W] in 0..1.
        box: the hand's, in its pixels.
        base: the base model, because guidance moves its latents.
        text: [1, D] or None.
        weight: of a step, in STEP.

    Returns:
        float [3, H, W] in 0..1.
    """
    with torch.no_grad():
        latent = base.encode(picture[None]).float()
    for _ in range(STEPS):
        latent = latent.detach().requires_grad_()
        crops = square_crops(base.decode(latent)[0], [box], critic.input_size, critic.config.margin)
        (gradient,) = torch.autograd.grad(critic.loss(critic(crops, text)).sum(), latent)
        length = gradient.square().mean().sqrt()
        if not length > 0:
            break
        latent = latent - weight * STEP * latent.detach().std() / length * gradient
    with torch.no_grad():
        return base.decode(latent)[0].clamp(0, 1)


class Check(NamedTuple):
    """Mean scores of pictures before and after their critic's gradient was followed: the critic's, another judge's."""

    pictures: int
    own_before: float
    own_after: float
    other_before: float
    other_after: float


def check_gradient(
    critic: Critic,
    pictures: list[tuple[Tensor, Box]],
    base: BaseModel,
    other: Judge,
    weight: float = 1.0,
) -> Check:
    """Follow the critic's gradient on pictures of malformed hands, and ask it and an independent judge.

    Args:
        critic: in evaluation mode.
        pictures: float [3, H, W] in 0..1 each, and the hand's box.
        base: see `follow`; pictures are compared as its autoencoder gives them back.
        other: the independent judge.
        weight: see `follow`.
    """
    rows = []
    for picture, box in pictures:
        with torch.no_grad():
            before = base.decode(base.encode(picture[None]))[0].clamp(0, 1)
        after = follow(critic, picture, box, base, weight=weight)
        rows.append([own_score(critic, before, box), own_score(critic, after, box), other(before), other(after)])
    return Check(len(rows), *torch.tensor(rows).mean(dim=0).tolist())


@torch.no_grad()
def own_score(critic: Critic, picture: Tensor, box: Box) -> float:
    """The critic's mean logit of a picture's hand."""
    return float(critic(square_crops(picture, [box], critic.input_size, critic.config.margin)).mean())


def detector_judge(detector: HandDetector) -> Judge:
    """How sure MediaPipe is of the hand that it finds, 0..1; 0 where it finds none."""

    def score(picture: Tensor) -> float:
        hands = detector.detect((picture * 255).round().byte().permute(1, 2, 0).cpu().contiguous().numpy())
        return max((hand.score for hand in hands), default=0.0)

    return score


def finger_judge(judge: FingerJudge) -> Judge:
    """How likely the mannequin world's independent judge finds the hand right, 0..1."""

    @torch.no_grad()
    def score(picture: Tensor) -> float:
        shown = functional.interpolate(picture[None].cpu(), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
        return float(judge(shown).softmax(dim=1)[0, VERDICTS.index(RIGHT)])

    return score
