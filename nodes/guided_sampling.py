"""Sampling with previews that show the mask's outline."""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.utils
import latent_preview
import torch

from ..fairhands.guidance.trace import Trace
from ..fairhands.hands.masks import fit_mask
from ..fairhands.hands.preview import outline
from .guidance_plan import Plan, plan_of

StepCallback = Callable[[int, torch.Tensor, torch.Tensor, int], None]


def preview_callback(
    model: comfy.model_patcher.ModelPatcher, steps: int, estimates: dict[str, torch.Tensor] | None = None
) -> StepCallback:
    """Progress and previews of a guided model; `estimates` gets the last clean estimate as `x0`."""
    previewer: Any = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    bar = comfy.utils.ProgressBar(steps)
    trace = plan_of(model).trace

    def callback(step: int, denoised: torch.Tensor, _: torch.Tensor, total: int) -> None:
        if estimates is not None:
            estimates["x0"] = denoised
        preview: Any = previewer.decode_latent_to_preview_image("JPEG", denoised) if previewer else None
        # Previewers of other packs send their pictures themselves and give none.
        if preview is not None:
            preview = _outlined(preview, trace)
        bar.update_absolute(step + 1, total, preview)

    return callback


def _outlined(preview: tuple[str, Any, int], trace: Trace) -> tuple[str, Any, int]:
    """A preview with the outline of the mask of the first image, which is the one that ComfyUI shows."""
    kind, picture, size = preview
    return kind, picture if trace.mask is None else outline(picture, trace.mask[0]), size


def sample(
    model: comfy.model_patcher.ModelPatcher,
    latent: dict[str, Any],
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: list[Any],
    negative: list[Any],
    denoise: float = 1.0,
    add_noise: bool = True,
    **advanced: Any,
) -> dict[str, Any]:
    """What ComfyUI's KSampler does, step for step, with the outline in its previews.

    `advanced`: start_step, last_step and force_full_denoise of the advanced KSampler.
    """
    start = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    if add_noise:
        noise = comfy.sample.prepare_noise(start, seed, latent.get("batch_index"))
    else:
        noise = torch.zeros(start.size(), dtype=start.dtype, layout=start.layout, device="cpu")
    samples = comfy.sample.sample(
        model,
        noise,
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        start,
        denoise=denoise,
        disable_noise=not add_noise,
        noise_mask=latent.get("noise_mask"),
        callback=preview_callback(model, steps),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
        **advanced,
    )
    return {**latent, "samples": samples}


def sample_custom(
    noise: Any, guider: Any, sampler: Any, sigmas: torch.Tensor, latent: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ComfyUI's SamplerCustomAdvanced does, with the outline in its previews: the samples, and the last estimate.

    Without any step both are the latent itself.
    """
    model = guider.model_patcher
    start = {**latent, "samples": comfy.sample.fix_empty_latent_channels(model, latent["samples"])}
    estimates: dict[str, torch.Tensor] = {}
    samples = guider.sample(
        noise.generate_noise(start),
        start["samples"],
        sampler,
        sigmas,
        denoise_mask=start.get("noise_mask"),
        callback=preview_callback(model, sigmas.shape[-1] - 1, estimates),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=noise.seed,
    )
    output = {**start, "samples": samples.to(comfy.model_management.intermediate_device())}
    if "x0" not in estimates:
        return output, output
    return output, {**start, "samples": model.model.process_latent_out(estimates["x0"].cpu())}


def mask_of(plan: Plan, samples: torch.Tensor) -> torch.Tensor:
    """The mask that a run left, float32 `[B, H, W]` in 0..1; where no step was taken, the start mask or an empty one.

    `samples`: latents `[B, C, h, w]` of the run.
    """
    if plan.trace.mask is not None:
        return plan.trace.mask
    assert plan.mask is not None
    batch, _, height, width = samples.shape
    size = height * plan.mask.decoder.scale, width * plan.mask.decoder.scale
    return torch.zeros(batch, *size) if plan.mask.start is None else fit_mask(plan.mask.start.cpu(), batch, *size)
