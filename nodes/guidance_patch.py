"""Guidance as a patch of a MODEL: it works with every sampler, scheduler and guider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ..fairhands.guidance.guided_prediction import Prediction
from .background_sampler import BackgroundSampler
from .differentiable import in_place_operations_allowed, make_conditions_differentiable, make_differentiable
from .guidance_plan import PLAN, Plan, TextualPart, moment_timestep, plan_of
from .guidance_run import Run, moment, new_run, recorder
from .lora_branch import attach_lora_branch, predict_with_lora
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


def _sample(executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, *rest: Any, **named: Any):
    """Around a whole sampling run: make its state; the plan's trace fills while it goes on."""
    guider = executor.class_obj
    plan = plan_of(guider.model_patcher)
    assert plan.mask is not None
    sampling = guider.model_patcher.get_model_object("model_sampling")
    if plan.textual:
        _prepare_textual(plan.textual, guider)
    with recorder(plan.mask, guider.model_patcher) or nullcontext() as words:
        run = new_run(plan, guider.model_patcher, noise, guider.conds.get("positive") or [], words)
        visual, plain = run.guidance.visual, sampler
        if plan.visual and visual and visual.w != 0:
            window = visual.schedule.window
            sampler = recurrent_sampler(
                sampler,
                sampling,
                plan.visual.repeats,
                lambda sigma: window.contains(moment_timestep(sampling, sigma)),
            )
        if plan.mask.keep_background:
            sampler = BackgroundSampler(plain, sampler, run)
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


def _predict_noise(executor: Any, x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any], seed: Any):
    """Around each prediction of a clean estimate."""
    guider = executor.class_obj
    run: Run | None = guider.model_options.get(RUN)
    if run is None:
        return executor(x, sigma, model_options, seed)
    if not run.guides:
        denoised = executor(x, sigma, model_options, seed)
        assert run.guidance.background is not None
        run.guidance.background.keep(denoised, float(sigma[0]))
        return denoised
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
    plain, with_lora = predict_with_lora(executor, model, conds, again, x, sigma, model_options)
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
