"""Guidance as a patch of a MODEL: it works with every sampler, scheduler and guider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ..fairhands.guidance.attention_map import AttentionRecorder, hand_words_fallback
from ..fairhands.guidance.cumulative_mask import CumulativeMask
from ..fairhands.guidance.follow import ATTENTION, CLOSER_LOOK, START_MASK, Fallback, HandFollower, closer_look
from ..fairhands.guidance.guided_prediction import GuidedPrediction, Prediction
from ..fairhands.guidance.schedule import Moment
from ..fairhands.guidance.visual import CriticLoss
from ..fairhands.hands.masks import fit_mask
from .critic_text import critic_of, text_for
from .differentiable import in_place_operations_allowed, make_conditions_differentiable, make_differentiable
from .guidance_plan import PLAN, MaskPart, Plan, TextualPart, WindowInput, is_flow, moment_timestep, plan_of
from .hand_words import cross_attention_modules, word_tokens
from .lora_branch import PLAIN_CONDS, another_cond, attach_lora_branch
from .recurrent_sampler import recurrent_sampler

KEY = "fairhands"
RUN = "fairhands_run"
LORA_CONDITIONS = "fairhands_lora"
WITHOUT_GRADIENT = "mode is exact, which needs a gradient through the model, but"
# Of a conditioning entry: when and where it acts.
PLACE = {
    *("area", "strength", "mask", "mask_strength", "set_area_to_bounds", "default"),
    *("start_percent", "end_percent", "clip_start_percent", "clip_end_percent"),
}


def guided(model: comfy.model_patcher.ModelPatcher, plan: Plan) -> comfy.model_patcher.ModelPatcher:
    """A clone of the model that samples with a plan; what it needs is declared, so that ComfyUI loads it too.

    Raises:
        ValueError: parts that do not fit the model, each in a sentence.
    """
    assert plan.mask is not None
    patched = model.clone()
    patched.set_attachments(PLAN, plan)
    others = [plan.mask.decoder_model] + ([plan.visual.discriminator] if plan.visual else [])
    patched.set_additional_models(KEY, others)
    for kind, wrapper in (
        (WrappersMP.OUTER_SAMPLE, _sample),
        (WrappersMP.PREDICT_NOISE, _predict_noise),
        (WrappersMP.CALC_COND_BATCH, _calculate_conditions),
    ):
        patched.remove_wrappers_with_key(kind, KEY)
        patched.add_wrapper_with_key(kind, KEY, wrapper)
    if _keep_cfg_difference not in patched.model_options.get("sampler_post_cfg_function", []):
        patched.set_model_sampler_post_cfg_function(_keep_cfg_difference)
    if plan.textual:
        patched.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)
        attach_lora_branch(patched, KEY, plan.textual.lora.branches)
    return patched


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


def _sample(executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, *rest: Any, **named: Any):
    """Around a whole sampling run: make its state; the plan's trace fills while it goes on."""
    guider = executor.class_obj
    plan = plan_of(guider.model_patcher)
    assert plan.mask is not None
    sampling = guider.model_patcher.get_model_object("model_sampling")
    if plan.textual:
        _prepare_textual(plan.textual, guider)
    with _recorder(plan.mask, guider.model_patcher) or nullcontext() as words:
        run = new_run(plan, guider.model_patcher, noise, guider.conds.get("positive") or [], words)
        visual = run.guidance.visual
        if plan.visual and visual and visual.w != 0:
            window = visual.schedule.window
            sampler = recurrent_sampler(
                sampler,
                sampling,
                plan.visual.repeats,
                lambda sigma: window.contains(moment_timestep(sampling, sigma)),
            )
        guider.model_options[RUN] = run
        return executor(noise, latent_image, sampler, *rest, **named)


def _prepare_textual(part: TextualPart, guider: Any) -> None:
    """Give the guider's conditions the LoRA's own prompt.

    Raises:
        ValueError: a guider that has no difference after guidance to speak of.
    """
    if part.settings.applies_to == "both" and not set(guider.conds) <= {"positive", "negative"}:
        raise ValueError(
            f"applies_to is both, expected a guider with a positive and a negative prompt, found one with "
            f"{', '.join(guider.conds)}: choose cond."
        )
    if part.conditioning is not None:
        positive = guider.conds.get("positive") or [{}]
        # All else that the positive prompt has, such as ControlNets and sizes, stays with it.
        others = {key: value for key, value in positive[0].items() if key not in PLACE}
        entries = comfy.sampler_helpers.convert_cond(part.conditioning)
        guider.conds[LORA_CONDITIONS] = [others | entry for entry in entries]


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
    trace.steps.clear()
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


def _resolved(schedule: Any, window: WindowInput, sampling: Any) -> Any:
    return replace(schedule, window=window.resolved(sampling))


def _settings(plan: Plan, decoder: str) -> dict[str, object]:
    """What a run ran with, as plain values for the trace."""
    settings: dict[str, object] = {"decoder": decoder}
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


def _recorder(part: MaskPart, model: comfy.model_patcher.ModelPatcher) -> AttentionRecorder | None:
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


def _predict_noise(executor: Any, x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any], seed: Any):
    """Around each prediction of a clean estimate."""
    guider = executor.class_obj
    run: Run | None = guider.model_options.get(RUN)
    if run is None:
        return executor(x, sigma, model_options, seed)
    sampling = guider.inner_model.model_sampling
    predict = _prediction(executor, guider, run, sigma, model_options, seed)
    return run.guidance(predict, x, moment(sampling, float(sigma[0])))


def _prediction(
    executor: Any, guider: Any, run: Run, sigma: torch.Tensor, model_options: dict[str, Any], seed: Any
) -> Callable[[torch.Tensor, bool], Prediction]:
    def predict(x: torch.Tensor, with_lora: bool) -> Prediction:
        run.cfg_difference = run.with_lora = run.without_lora = None
        run.lora_wanted = with_lora
        run.lora_conditions, run.positive = guider.conds.get(LORA_CONDITIONS), guider.conds.get("positive")
        if not x.requires_grad:
            denoised = executor(x, sigma, model_options, seed)
            return Prediction(denoised, run.cfg_difference, _lora_difference(run, guider))
        make_differentiable(guider.inner_model)
        make_conditions_differentiable(guider.conds)
        with in_place_operations_allowed(), _refusal_in_a_sentence():
            denoised = executor(x, sigma.clone(), model_options, seed)
        if not denoised.requires_grad:
            raise ValueError(
                f"{WITHOUT_GRADIENT} this model gives none (its weights are {guider.model_patcher.model_dtype()}, or a "
                "patch cuts the gradient off): choose mode fast, or load the model in fp16 or bf16."
            )
        return Prediction(denoised, run.cfg_difference, _lora_difference(run, guider))

    return predict


@contextmanager
def _refusal_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "nference tensor" not in str(error):
            raise
        raise ValueError(
            f"{WITHOUT_GRADIENT} a patch of it holds tensors that were made for inference alone: choose mode fast, or "
            "leave that patch out."
        ) from error


def _keep_cfg_difference(arguments: dict[str, Any]) -> torch.Tensor:
    """A post-CFG function that changes nothing and remembers how far classifier-free guidance went."""
    run: Run | None = arguments["model_options"].get(RUN)
    uncond = arguments["uncond_denoised"]
    if run is not None and arguments["uncond"] is not None and run.cfg_difference is None:
        run.cfg_difference = arguments["cond_scale"] * (arguments["cond_denoised"] - uncond).detach()
    return arguments["denoised"]


def _calculate_conditions(
    executor: Any, model: Any, conds: list[Any], x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any]
) -> list[torch.Tensor]:
    """Around the model's batch of conditions: once a step, the same batch holds them with the hand LoRA too."""
    run: Run | None = model_options.get(RUN)
    if run is None or not run.lora_wanted:
        return executor(model, conds, x, sigma, model_options)
    run.lora_wanted = False  # other patches predict again within the same step
    assert run.plan.textual is not None
    # Some guiders put other prompts before the positive one.
    first = next((index for index, cond in enumerate(conds) if cond is run.positive), 0)
    again = [run.lora_conditions or conds[first]]
    if run.plan.textual.settings.applies_to == "both":
        again += conds[1:]
    again = [another_cond(cond) for cond in again]
    transformer_options = dict(model_options.get("transformer_options", {}))
    options = {**model_options, "transformer_options": transformer_options}
    if x.requires_grad:
        # The difference is not differentiated, so its rows stay out of the batch that is.
        plain = executor(model, conds, x, sigma, model_options)
        transformer_options[PLAIN_CONDS] = 0
        with torch.no_grad():
            with_lora = executor(model, again, x.detach(), sigma, options)
    else:
        transformer_options[PLAIN_CONDS] = len(conds)
        out = executor(model, [*conds, *again], x, sigma, options)
        plain, with_lora = out[: len(conds)], out[len(conds) :]
    run.without_lora = [estimate.detach() for estimate in plain[first:]]
    run.with_lora = [estimate.detach() for estimate in with_lora]
    return plain


def _lora_difference(run: Run, guider: Any) -> torch.Tensor | None:
    """Clean estimate with the hand LoRA minus that without, after guidance where both parts have it."""
    if run.with_lora is None or run.without_lora is None:
        return None
    differences = [with_lora - without for with_lora, without in zip(run.with_lora, run.without_lora, strict=False)]
    if len(differences) < 2 or run.cfg_difference is None:
        return differences[0]
    return differences[1] + guider.cfg * (differences[0] - differences[1])
