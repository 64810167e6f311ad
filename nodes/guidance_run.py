"""One sampling run of a guided model: what it starts with, from the plan that the model carries."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import comfy.model_patcher
import torch

from ..fairhands.guidance.attention_map import AttentionRecorder, hand_words_fallback
from ..fairhands.guidance.background import Background
from ..fairhands.guidance.cumulative_mask import CumulativeMask
from ..fairhands.guidance.follow import ATTENTION, CLOSER_LOOK, START_MASK, Fallback, HandFollower, closer_look
from ..fairhands.guidance.guided_prediction import GuidedPrediction
from ..fairhands.guidance.schedule import Moment, Schedule
from ..fairhands.guidance.visual import CriticLoss
from ..fairhands.hands.masks import fit_mask
from .critic_text import critic_of, text_for
from .guidance_plan import MaskPart, Plan, WindowInput, is_flow, moment_timestep
from .hand_words import cross_attention_modules, word_tokens


class Run:
    """One sampling run: its guidance, and what the model's prediction leaves for it on the way."""

    def __init__(self, plan: Plan, guidance: GuidedPrediction) -> None:
        self.plan = plan
        self.guidance = guidance
        self.cfg_difference: torch.Tensor | None = None
        self.with_lora: list[torch.Tensor] | None = None
        self.without_lora: list[torch.Tensor] | None = None
        self.lora_wanted = False
        self.lora_conditions: list[Any] | None = None
        self.positive: list[Any] | None = None
        self.guides = True

    @contextmanager
    def without_guidance(self) -> Iterator[None]:
        """Predictions within are the model's own, and kept for the background."""
        self.guides, self.guidance.background = False, Background()
        try:
            yield
        finally:
            self.guides = True


def new_run(
    plan: Plan,
    model: comfy.model_patcher.ModelPatcher,
    noise: torch.Tensor,
    positive: list[dict[str, Any]],
    words: AttentionRecorder | None = None,
) -> Run:
    """The state of a sampling run on latents shaped as `noise`, with a positive prompt.

    `words` records what a fallback of the mask reads.

    Raises:
        ValueError: latents that are not of pictures, a start mask for another batch, exchanged windows.
    """
    if noise.ndim != 4:
        raise ValueError(
            f"the latents have the shape {list(noise.shape)}, expected [batch, channels, height, width]: hand guidance "
            "works on pictures, not on video or sound."
        )
    part = plan.mask
    assert part is not None
    sampling = model.get_model_object("model_sampling")
    decoder = part.decoder
    batch, _, height, width = noise.shape
    start = None if START_MASK in part.fallbacks else part.start
    mask = CumulativeMask(batch, height * decoder.scale, width * decoder.scale, part.style, start, part.growth)
    fallbacks = _fallbacks(part, mask, words, (height, width))
    follower = HandFollower(decoder, part.detector, mask, part.every, fallbacks)
    trace = plan.trace
    trace.clear()
    trace.settings = _settings(plan, decoder.name)
    trace.mask = mask.picture
    guidance = GuidedPrediction(follower, trace)
    if plan.visual:
        settings = plan.visual.settings
        guidance.visual = replace(settings, schedule=_resolved(settings.schedule, plan.visual.window, sampling))
        critic = critic_of(plan.visual.discriminator)
        text, trace.settings["critic_text"] = text_for(critic, plan.visual.text, positive)
        guidance.critic_loss = CriticLoss(critic, decoder, text)
    if plan.textual:
        settings = plan.textual.settings
        guidance.textual = replace(settings, schedule=_resolved(settings.schedule, plan.textual.window, sampling))
    return Run(plan, guidance)


def _resolved(schedule: Schedule, window: WindowInput, sampling: Any) -> Schedule:
    return replace(schedule, window=window.resolved(sampling))


def _settings(plan: Plan, decoder: str) -> dict[str, object]:
    """What a run ran with, as plain values for the trace."""
    assert plan.mask is not None
    settings: dict[str, object] = {"decoder": decoder, "keep_background": plan.mask.keep_background}
    if plan.visual:
        visual = plan.visual.settings
        settings |= {"w": visual.w, "mode": visual.mode, "schedule": visual.schedule.curve}
        settings |= {"normalisation": visual.normalisation, "recurrence": plan.visual.repeats}
        settings["visual_window"] = [plan.visual.window.first, plan.visual.window.last, plan.visual.window.unit]
    if plan.textual:
        textual = plan.textual.settings
        settings |= {"v": textual.v, "lora": plan.textual.name, "applies_to": textual.applies_to}
        settings["lora_window"] = [plan.textual.window.first, plan.textual.window.last, plan.textual.window.unit]
        settings["unmatched_lora_keys"] = len(plan.textual.lora.unmatched)
    return settings


def recorder(part: MaskPart, model: comfy.model_patcher.ModelPatcher) -> AttentionRecorder | None:
    """What keeps the queries of cross-attention while sampling, where a fallback reads them."""
    return AttentionRecorder(cross_attention_modules(model)) if ATTENTION in part.fallbacks else None


def _fallbacks(
    part: MaskPart, mask: CumulativeMask, words: AttentionRecorder | None, latent_size: tuple[int, int]
) -> dict[str, Fallback]:
    known: dict[str, Fallback] = {CLOSER_LOOK: closer_look(part.detector, mask)}
    if part.start is not None:
        given = fit_mask(part.start, *mask.picture.shape)
        known[START_MASK] = lambda image, _: given[image]
    if words is not None and part.clip is not None:
        known[ATTENTION] = hand_words_fallback(
            words, *word_tokens(part.clip, part.hand_words), mask.picture.shape, latent_size, part.growth.largest
        )
    return {name: known[name] for name in part.fallbacks if name in known}


def moment(sampling: Any, sigma: float) -> Moment:
    """Where a sigma of the model's noise schedule is on the way from noise to picture."""
    timestep = moment_timestep(sampling, sigma)
    if is_flow(sampling):
        return Moment(sigma, timestep, noise_share=sigma, signal=1 - sigma)
    return Moment(sigma, timestep, noise_share=sigma / (1 + sigma**2) ** 0.5)
