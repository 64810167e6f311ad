"""Sampling with previews that show the mask's outline."""

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sample
import comfy.utils
import latent_preview
import torch

from ..fairhands.hands.preview import outline
from .guidance_plan import plan_of

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
        preview: Any = None
        if previewer:
            kind, picture, size = previewer.decode_latent_to_preview_image("JPEG", denoised)
            preview = (kind, picture if trace.mask is None else outline(picture, trace.mask[0]), size)
        bar.update_absolute(step + 1, total, preview)

    return callback


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
