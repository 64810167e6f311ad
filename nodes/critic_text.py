"""The text that a hand discriminator judges by, where it was trained with texts."""

from typing import Any

import comfy.model_patcher
import comfy.sd
import torch

from ..fairhands.critic.network import Critic
from .differentiable import make_differentiable, normal


def critic_of(discriminator: comfy.model_patcher.ModelPatcher) -> Critic:
    """The critic that a HAND_DISCRIMINATOR holds."""
    make_differentiable(discriminator.model)
    return discriminator.model


def encoded(clip: comfy.sd.CLIP | None, text: str) -> torch.Tensor | None:
    """The pooled embedding `[1, D]` of a text; None where there is no text, or nothing to encode it."""
    if clip is None or not text.strip():
        return None
    both: Any = clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)
    return both[1]


def text_for(
    critic: Critic, given: torch.Tensor | None, positive: list[dict[str, Any]]
) -> tuple[torch.Tensor | None, str]:
    """The text `[1, D]` that a critic judges by, and where it comes from, for the trace.

    The prompt's pooled embedding where its length is what the critic was trained with (CLIP-L's 768: SD 1.5), else
    the text that the artist gave, else none.
    """
    dimension = critic.config.text_dimension
    if dimension is None:
        return None, "the discriminator judges without a text"
    pooled = [entry["pooled_output"] for entry in positive[:1] if entry.get("pooled_output") is not None]
    for text, source in (*((some, "prompt") for some in pooled), (given, "hand_text")):
        if text is not None and text.shape[-1] == dimension:
            return normal(text[:1].float().clone()), source
    return None, f"none: neither prompt nor hand_text has {dimension} numbers"
