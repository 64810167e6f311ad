"""Hand-Guided Sampler (Custom): ComfyUI's SamplerCustomAdvanced that shows and gives what guidance did."""

from dataclasses import replace
from typing import Any

import comfy.model_patcher
import torch
from comfy_api.latest import io

from .connections import CATEGORY
from .guidance_plan import Plan, plan_of
from .guided_sampling import mask_of, sample_custom
from .hand_guided_ksampler import left_outputs


class HandGuidedSamplerCustom(io.ComfyNode):
    """The custom sampler for guiders of a guided model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandGuidedSamplerCustom",
            display_name="Hand-Guided Sampler (Custom)",
            category=CATEGORY,
            description=(
                "Samples as SamplerCustomAdvanced does, for a guider whose model comes from Hand Visual Guidance or "
                "Hand LoRA Guidance, with the mask's outline in its previews, and mask and trace as outputs."
            ),
            inputs=[
                io.Noise.Input("noise", tooltip="The noise to begin with, such as RandomNoise."),
                io.Guider.Input(
                    "guider",
                    tooltip="Any guider; its model must come from Hand Visual Guidance or Hand LoRA Guidance.",
                ),
                io.Sampler.Input("sampler", tooltip="Any sampler, such as KSamplerSelect's."),
                io.Sigmas.Input("sigmas", tooltip="The noise levels to go through, such as BasicScheduler's."),
                io.Latent.Input("latent_image", tooltip="The latent to denoise, with its noise mask if it has one."),
            ],
            outputs=[
                io.Latent.Output("OUTPUT", display_name="output", tooltip="The sampled latent, for VAE Decode."),
                io.Latent.Output("DENOISED_OUTPUT", display_name="denoised_output", tooltip="The last clean estimate."),
                *left_outputs(),
            ],
        )

    @classmethod
    def execute(
        cls, noise: Any, guider: Any, sampler: Any, sigmas: torch.Tensor, latent_image: dict[str, Any]
    ) -> io.NodeOutput:
        """Sample with the guider."""
        plan = guiding_plan(guider.model_patcher)
        # Another sampler may have used the same guider.
        plan.trace.clear()
        output, denoised = sample_custom(noise, guider, sampler, sigmas, latent_image)
        # Another sampler's run refills the plan's own trace.
        trace = replace(plan.trace)
        return io.NodeOutput(output, denoised, mask_of(plan, output["samples"]), trace)


def guiding_plan(model: comfy.model_patcher.ModelPatcher) -> Plan:
    """The plan of a guider's model.

    Raises:
        ValueError: nothing guides it.
    """
    plan = plan_of(model)
    if plan.visual is None and plan.textual is None:
        raise ValueError(
            "guider has a model without hand guidance: put Hand Visual Guidance or Hand LoRA Guidance between the "
            "model and the guider (Hand Mask While Sampling alone guides nothing)."
        )
    return plan
