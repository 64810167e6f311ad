"""Hand Visual Guidance: a MODEL that is guided by a hand discriminator while it is sampled from."""

from typing import Any

import comfy.model_patcher
import comfy.sd
from comfy_api.latest import io

from .connections import CATEGORY, HandDiscriminator
from .decoding import decoder_files
from .guidance_inputs import patched_outputs
from .guidance_patch import guided
from .search_words import search_words
from .visual_inputs import refuse_unknown_visual, visual_inputs, visual_plan


class HandVisualGuidance(io.ComfyNode):
    """MODEL -> MODEL with visual guidance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandVisualGuidance",
            display_name="Hand Visual Guidance",
            category=CATEGORY,
            **search_words("fix hands", "better hands", "fingers", "bad hands"),
            description=(
                "Makes any sampler move the hands it draws toward what the discriminator takes for right hands, inside "
                "a mask of the hands found on the way."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model to guide; other patches stay in effect."),
                io.Vae.Input("vae", tooltip="Decodes the estimates in which hands are looked for."),
                HandDiscriminator.Input("discriminator", tooltip="From Load Hand Discriminator."),
                *visual_inputs(),
            ],
            outputs=patched_outputs(),
        )

    @classmethod
    def validate_inputs(cls, mode: str, schedule: str, normalisation: str, window_in: str, decoder: str) -> bool | str:
        """Refuse choices that do not exist."""
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
        **visual: Any,
    ) -> io.NodeOutput:
        """Patch a clone of the model."""
        plan = visual_plan(model, vae, discriminator, **visual)
        return io.NodeOutput(guided(model, plan), plan.trace)
