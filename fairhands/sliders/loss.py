"""What a concept slider's LoRA lowers (arXiv 2311.12092, equations 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..base_models import BaseModel, Text
from ..training.loop import Losses
from .entries import Example
from .texts import Texts

if TYPE_CHECKING:
    from ..adapters.lora import LoraAdapter


class Start(NamedTuple):
    """Noised latents, float32 [N, C, h, w], and their times, [N] in 0..1."""

    noised: Tensor
    times: Tensor


class Prompts(NamedTuple):
    """The four prompts of N examples, what the change is multiplied with, [N], and the examples' shares, [N]."""

    target: Text
    neutral: Text
    positive: Text
    negative: Text
    eta: Tensor
    share: Tensor


def prompts_of(examples: Sequence[Example], texts: Texts, device: torch.device) -> Prompts:
    """The prompts of examples, all of one resolution."""
    side = examples[0].entry.resolution
    return Prompts(
        texts.of([example.entry.target for example in examples], side),
        texts.of([example.entry.neutral for example in examples], side),
        texts.of([example.positive for example in examples], side),
        texts.of([example.negative for example in examples], side),
        torch.tensor([example.entry.eta for example in examples], device=device),
        torch.tensor([example.share for example in examples], device=device),
    )


def slider_losses(base: BaseModel, adapter: LoraAdapter, start: Start, prompts: Prompts) -> Losses:
    """The loss of the examples: the mean squared error of each, times its share of the pass.

    What is predicted may be the noise, the velocity or flow matching's direction: each is a fixed affine map of the
    others where the noised latent is given, and `wanted` commutes with such maps.

    Beside `loss` there is `remaining`, the loss relative to that of the base model's own prediction of the neutral
    prompt: 1 where nothing is learnt yet (and the target is the neutral prompt), 0 where all is.
    """
    neutral, positive, negative = base_predictions(base, adapter, start, prompts)
    aim = wanted(neutral, positive, negative, prompts.eta)
    predicted = base.predict(start.noised, start.times, prompts.target)
    loss = _error(predicted, aim, prompts.share)
    whole = _error(neutral, aim, prompts.share)
    return {"loss": loss, "remaining": loss.detach() / whole.clamp(min=1e-12)}


@torch.no_grad()
def base_predictions(
    base: BaseModel, adapter: LoraAdapter, start: Start, prompts: Prompts
) -> tuple[Tensor, Tensor, Tensor]:
    """What the base alone predicts for the neutral, positive and negative prompts, all in one batch."""
    texts = Text.joined([prompts.neutral, prompts.positive, prompts.negative])
    with adapter.scaled(0):
        predicted = base.predict(start.noised.repeat(3, 1, 1, 1), start.times.repeat(3), texts)
    neutral, positive, negative = predicted.chunk(3)
    return neutral, positive, negative


def wanted(neutral: Tensor, positive: Tensor, negative: Tensor, eta: Tensor) -> Tensor:
    """neutral + eta (positive - negative), predictions [N, C, h, w], eta [N]."""
    return neutral + eta[:, None, None, None] * (positive - negative)


def _error(predicted: Tensor, aim: Tensor, share: Tensor) -> Tensor:
    return (share * (predicted - aim).square().mean(dim=(1, 2, 3))).sum()
