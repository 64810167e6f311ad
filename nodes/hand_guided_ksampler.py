"""Hand-Guided KSampler: ComfyUI's KSampler with visual guidance inside a mask of the hands."""

from typing import Any

import comfy.model_patcher
import comfy.samplers
import comfy.sd
import torch
from comfy_api.latest import io

from .connections import CATEGORY, GuidanceTrace, HandDiscriminator
from .decoding import decoder_files
from .detector import download_input, threshold_input
from .guidance_inputs import refuse_unknown, start_mask_input, strength_input, window_inputs
from .guidance_patch import guided
from .guided_sampling import mask_of, sample
from .mask_inputs import background_input
from .search_words import search_words
from .visual_inputs import visual_plan

SAMPLERS: list[str] = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS: list[str] = comfy.samplers.KSampler.SCHEDULERS


class HandGuidedKSampler(io.ComfyNode):
    """The KSampler, guided by a hand discriminator."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandGuidedKSampler",
            display_name="Hand-Guided KSampler",
            category=CATEGORY,
            **search_words("fix hands", "better hands", "fingers", "bad hands"),
            description=(
                "Samples as the KSampler does, and moves the hands it finds on the way toward what the discriminator "
                "takes for right hands. Outside the mask nothing changes."
            ),
            inputs=[*connected_inputs(), *step_inputs("seed"), denoise_input(), *guidance_inputs()],
            outputs=[latent_output(), *left_outputs()],
        )

    @classmethod
    def validate_inputs(cls, sampler_name: str, scheduler: str) -> bool | str:
        """Refuse names that this ComfyUI does not have."""
        return refuse_unknown(sampler_name=(sampler_name, SAMPLERS), scheduler=(scheduler, SCHEDULERS))

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """The files that are read: once they change, the node runs again."""
        return decoder_files()

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
        keep_background: bool = False,
    ) -> io.NodeOutput:
        """Sample with the patched model."""
        plan = visual_plan(
            model,
            vae,
            discriminator,
            w=w,
            first_timestep=first_timestep,
            last_timestep=last_timestep,
            detection_threshold=detection_threshold,
            download_missing=download_missing,
            start_mask=start_mask,
            keep_background=keep_background,
        )
        latent = sample(
            guided(model, plan),
            latent_image,
            seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            positive,
            negative,
            denoise,
        )
        return io.NodeOutput(latent, mask_of(plan, latent["samples"]), plan.trace)


def connected_inputs() -> list[io.Input]:
    """What a guided KSampler is connected to."""
    return [
        io.Model.Input(
            "model", tooltip="The model to sample from; LoRAs, ControlNets and other patches stay in effect."
        ),
        io.Vae.Input("vae", tooltip="Decodes the estimates in which hands are looked for. A tiny one (TAESD) is fast."),
        HandDiscriminator.Input("discriminator", tooltip="From Load Hand Discriminator."),
        io.Conditioning.Input("positive", tooltip="What the picture should show."),
        io.Conditioning.Input("negative", tooltip="What it should not show."),
        io.Latent.Input("latent_image", tooltip="The latent to denoise, with its noise mask if it has one."),
    ]


def step_inputs(seed: str) -> list[io.Input]:
    """The seed under the name that it has in ComfyUI's node, and how the steps are taken."""
    return [
        io.Int.Input(
            seed,
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The noise's seed; the same seed gives the same picture.",
        ),
        io.Int.Input("steps", default=20, min=1, max=10000, tooltip="How many steps sampling takes."),
        io.Float.Input(
            "cfg",
            default=8.0,
            min=0.0,
            max=100.0,
            step=0.1,
            round=0.01,
            tooltip="How closely the picture keeps to the prompts (classifier-free guidance). 1: no negative prompt.",
        ),
        io.Combo.Input("sampler_name", options=SAMPLERS, tooltip="Any of ComfyUI's samplers."),
        io.Combo.Input("scheduler", options=SCHEDULERS, tooltip="Any of ComfyUI's schedulers."),
    ]


def denoise_input() -> io.Float.Input:
    """How much of the latent is drawn anew."""
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="How much is drawn anew. Below 1 the latent's picture shows through.",
    )


def guidance_inputs() -> list[io.Input]:
    """Inputs of visual guidance with its usual settings."""
    return [
        strength_input("w", "Strength of guidance. 0 is the plain KSampler. Too much ruins hands; try 1 to 4."),
        *window_inputs("Guidance", unit=False),
        threshold_input("detection_threshold", 0.5),
        download_input(),
        start_mask_input(),
        background_input(),
    ]


def latent_output() -> io.Output:
    """What is sampled."""
    return io.Latent.Output("LATENT", display_name="latent", tooltip="The sampled latent, for VAE Decode.")


def left_outputs() -> list[io.Output]:
    """What a guided sampler leaves beside its latents."""
    return [
        io.Mask.Output("MASK", display_name="mask", tooltip="All hands seen while sampling, and the start mask."),
        GuidanceTrace.Output("TRACE", display_name="trace", tooltip="What guidance did at each step, for the plot."),
    ]
