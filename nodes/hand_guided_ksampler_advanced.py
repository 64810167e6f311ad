"""Hand-Guided KSampler (Advanced): ComfyUI's KSamplerAdvanced with all settings of visual guidance."""

from typing import Any

import comfy.model_patcher
import comfy.sd
from comfy_api.latest import io

from .connections import CATEGORY
from .decoding import decoder_files
from .guidance_inputs import refuse_unknown
from .guidance_patch import guided
from .guided_sampling import mask_of, sample
from .hand_guided_ksampler import SAMPLERS, SCHEDULERS, connected_inputs, latent_output, left_outputs, step_inputs
from .mask_inputs import background_input
from .visual_inputs import refuse_unknown_visual, visual_inputs, visual_plan

ENABLE, DISABLE = "enable", "disable"


class HandGuidedKSamplerAdvanced(io.ComfyNode):
    """The advanced KSampler, guided by a hand discriminator."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandGuidedKSamplerAdvanced",
            display_name="Hand-Guided KSampler (Advanced)",
            category=CATEGORY,
            description=(
                "Samples a part of the steps as the advanced KSampler does, with every setting of visual guidance. "
                "Hand LoRA Guidance and Hand Mask While Sampling before it stay in effect."
            ),
            inputs=[*connected_inputs(), *part_inputs(), *visual_inputs(), background_input()],
            outputs=[latent_output(), *left_outputs()],
        )

    @classmethod
    def validate_inputs(
        cls,
        add_noise: str,
        sampler_name: str,
        scheduler: str,
        return_with_leftover_noise: str,
        mode: str,
        schedule: str,
        normalisation: str,
        window_in: str,
        decoder: str,
    ) -> bool | str:
        """Refuse choices that do not exist."""
        switch = [ENABLE, DISABLE]
        sampling = refuse_unknown(
            add_noise=(add_noise, switch),
            sampler_name=(sampler_name, SAMPLERS),
            scheduler=(scheduler, SCHEDULERS),
            return_with_leftover_noise=(return_with_leftover_noise, switch),
        )
        if sampling is not True:
            return sampling
        return refuse_unknown_visual(mode, schedule, normalisation, window_in, decoder)

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
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
        **visual: Any,
    ) -> io.NodeOutput:
        """Sample a part of the steps with the patched model; `visual`: the inputs of visual_inputs."""
        plan = visual_plan(model, vae, discriminator, **visual)
        latent = sample(
            guided(model, plan),
            latent_image,
            noise_seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            positive,
            negative,
            add_noise=add_noise == ENABLE,
            start_step=start_at_step,
            last_step=end_at_step,
            force_full_denoise=return_with_leftover_noise == DISABLE,
        )
        return io.NodeOutput(latent, mask_of(plan, latent["samples"]), plan.trace)


def part_inputs() -> list[io.Input]:
    """The advanced KSampler's inputs: the steps, and which of them are taken here."""
    return [
        io.Combo.Input(
            "add_noise",
            options=[ENABLE, DISABLE],
            tooltip="disable: the latent has its noise already, from a part before.",
        ),
        *step_inputs("noise_seed"),
        io.Int.Input("start_at_step", default=0, min=0, max=10000, tooltip="The first step to take here."),
        io.Int.Input(
            "end_at_step", default=10000, min=0, max=10000, tooltip="The step to stop before; steps or more is the end."
        ),
        io.Combo.Input(
            "return_with_leftover_noise",
            options=[DISABLE, ENABLE],
            tooltip="enable: keep the noise for the next part. disable: the last step here removes all of it.",
        ),
    ]
