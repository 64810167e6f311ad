"""Hand-Guided KSampler: ComfyUI's KSampler with visual guidance inside a mask of the hands."""

from typing import Any

import comfy.model_patcher
import comfy.samplers
import comfy.sd
import torch
from comfy_api.latest import io

# ComfyUI's own module of that name; the pack's folder is only ever imported relatively.
from nodes import common_ksampler  # pyright: ignore[reportAttributeAccessIssue]

from ..fairhands.guidance.cumulative_mask import CumulativeMask
from ..fairhands.guidance.schedule import FIRST_TIMESTEP, LAST_TIMESTEP, Window
from ..fairhands.guidance.trace import Trace
from ..fairhands.guidance.visual import VisualGuidance
from ..fairhands.hands.masks import MaskStyle
from .connections import CATEGORY, GuidanceTrace, HandDiscriminator
from .detector import download_input, hand_detector, threshold_input
from .guidance_patch import critic_of, decoder, patch_visual_guidance

MASK_STYLE = MaskStyle(shape="hull", padding=0.15)


class HandGuidedKSampler(io.ComfyNode):
    """The KSampler, guided by a hand discriminator."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandGuidedKSampler",
            display_name="Hand-Guided KSampler",
            category=CATEGORY,
            description=(
                "Samples as the KSampler does, and moves the hands it finds on the way toward what the discriminator "
                "takes for right hands. Outside the mask nothing changes."
            ),
            inputs=[*_ksampler_inputs(), *_guidance_inputs()],
            outputs=[
                io.Latent.Output("LATENT", display_name="latent"),
                io.Mask.Output(
                    "MASK", display_name="mask", tooltip="All hands seen while sampling, and the start mask."
                ),
                GuidanceTrace.Output("TRACE", display_name="trace", tooltip="What guidance did at each step."),
            ],
        )

    @classmethod
    def validate_inputs(cls, sampler_name: str, scheduler: str) -> bool | str:
        """Refuse names that this ComfyUI does not have; it does not check the choices of V3 nodes itself."""
        for name, value, known in (
            ("sampler_name", sampler_name, comfy.samplers.KSampler.SAMPLERS),
            ("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS),
        ):
            if value not in known:
                return f"{name} is {value!r}, which this ComfyUI does not have. It has: {', '.join(known)}."
        return True

    @classmethod
    def execute(
        cls,
        model: comfy.model_patcher.ModelPatcher,
        vae: comfy.sd.VAE,
        discriminator: comfy.model_patcher.ModelPatcher,
        positive: list[Any],
        negative: list[Any],
        latent_image: dict[str, Any],
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        w: float,
        first_timestep: float,
        last_timestep: float,
        detection_threshold: float,
        download_missing: bool,
        start_mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Sample with the patched model."""
        window = Window(first_timestep, last_timestep)
        mask = _cumulative_mask(latent_image["samples"], vae, start_mask)
        guidance = VisualGuidance(
            critic=critic_of(discriminator),
            decode=decoder(model, vae),
            detector=hand_detector(download_missing, detection_threshold),
            mask=mask,
            w=w,
            window=window,
            trace=Trace(settings={"w": w, "first_timestep": window.first, "last_timestep": window.last}),
        )
        patched = patch_visual_guidance(model, guidance, discriminator, vae)
        (latent,) = common_ksampler(
            patched, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
        )
        return io.NodeOutput(latent, mask.picture, guidance.trace)


def _cumulative_mask(samples: torch.Tensor, vae: comfy.sd.VAE, start: torch.Tensor | None) -> CumulativeMask:
    """An empty or given mask at the size of the pictures that the latents stand for."""
    if samples.ndim != 4:
        raise ValueError(
            f"latent_image has the shape {list(samples.shape)}, expected [batch, channels, height, width]: "
            "Hand-Guided KSampler works on pictures, not on video or sound."
        )
    scale = vae.spacial_compression_decode()
    if not isinstance(scale, int):
        raise ValueError(
            f"vae enlarges latents by {scale}, expected a whole number: "
            "Hand-Guided KSampler needs the VAE of a picture model."
        )
    batch, _, height, width = samples.shape
    return CumulativeMask(batch, height * scale, width * scale, MASK_STYLE, start)


def _ksampler_inputs() -> list[io.Input]:
    return [
        io.Model.Input(
            "model", tooltip="The model to sample from; LoRAs, ControlNets and other patches stay in effect."
        ),
        io.Vae.Input("vae", tooltip="Decodes the estimates in which hands are looked for. A tiny one (TAESD) is fast."),
        HandDiscriminator.Input("discriminator", tooltip="From Load Hand Discriminator."),
        io.Conditioning.Input("positive", tooltip="What the picture should show."),
        io.Conditioning.Input("negative", tooltip="What it should not show."),
        io.Latent.Input("latent_image", tooltip="The latent to denoise, with its noise mask if it has one."),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The noise's seed; the same seed gives the same picture.",
        ),
        io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Steps of the sampler."),
        io.Float.Input(
            "cfg", default=8.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="Classifier-free guidance scale."
        ),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, tooltip="Any of ComfyUI's samplers."),
        io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, tooltip="Any of ComfyUI's schedulers."),
        io.Float.Input(
            "denoise",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Below 1: start from the latent, not from noise.",
        ),
    ]


def _guidance_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "w", default=1.0, min=0.0, max=100.0, step=0.05, tooltip="Strength of guidance. 0 is the plain KSampler."
        ),
        io.Float.Input(
            "first_timestep",
            default=FIRST_TIMESTEP,
            min=0.0,
            max=1000.0,
            step=1.0,
            tooltip="Guidance begins at this training timestep (999 is pure noise).",
        ),
        io.Float.Input(
            "last_timestep",
            default=LAST_TIMESTEP,
            min=0.0,
            max=1000.0,
            step=1.0,
            tooltip="Guidance ends at this training timestep (0 is the finished picture).",
        ),
        threshold_input("detection_threshold", 0.5),
        download_input(),
        io.Mask.Input("start_mask", optional=True, tooltip="Where hands are known to be from the start; any size."),
    ]
