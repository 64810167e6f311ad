"""Hand Visual Guidance: a MODEL that is guided by a hand discriminator while it is sampled from."""

import comfy.model_patcher
import comfy.sd
import torch
from comfy_api.latest import io

from ..fairhands.guidance.normalisation import Normalisation
from ..fairhands.guidance.schedule import Curve, Schedule
from ..fairhands.guidance.visual import Mode, VisualSettings
from .connections import CATEGORY, HandDiscriminator
from .decoding import CHOICES, decoder_files
from .detector import download_input, hand_detector, threshold_input
from .guidance_inputs import (
    CURVES,
    MODES,
    NORMALISATIONS,
    UNITS,
    decoder_input,
    mask_part,
    patched_outputs,
    refuse_unknown,
    schedule_inputs,
    start_mask_input,
    strength_input,
    window_inputs,
)
from .guidance_patch import guided
from .guidance_plan import VisualPart, WindowInput, changed


class HandVisualGuidance(io.ComfyNode):
    """MODEL -> MODEL with visual guidance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandVisualGuidance",
            display_name="Hand Visual Guidance",
            category=CATEGORY,
            description=(
                "Makes any sampler move the hands it draws toward what the discriminator takes for right hands, inside "
                "a mask of the hands found on the way."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model to guide; other patches stay in effect."),
                io.Vae.Input("vae", tooltip="Decodes the estimates in which hands are looked for."),
                HandDiscriminator.Input("discriminator", tooltip="From Load Hand Discriminator."),
                strength_input("w", "Strength. 0 is off. Too much ruins hands; try 1 to 4."),
                io.Combo.Input(
                    "mode",
                    options=MODES,
                    default="fast",
                    tooltip="fast: the gradient stops at the clean estimate. exact: it goes on through the model, "
                    "which takes twice the time of a step and memory for the way back.",
                ),
                *window_inputs("Guidance"),
                *schedule_inputs("noise"),
                io.Combo.Input(
                    "normalisation",
                    options=NORMALISATIONS,
                    default="unit",
                    tooltip="unit: steps of a known size. cfg: as large as CFG's own. clip: at most unit. none: the "
                    "gradient as it is, whose size depends on critic and timestep.",
                ),
                io.Int.Input(
                    "recurrence",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="How often each guided step is taken, with noise added back between. 1 is once.",
                ),
                io.Boolean.Input(
                    "weigh_by_score", default=False, tooltip="Let hands that are found more surely count more."
                ),
                io.Boolean.Input(
                    "measure_effect",
                    default=False,
                    tooltip="Ask the discriminator again after each step, for the trace. Costs another decoding.",
                ),
                decoder_input(),
                threshold_input("detection_threshold", 0.5),
                download_input(),
                start_mask_input(),
            ],
            outputs=patched_outputs(),
        )

    @classmethod
    def validate_inputs(cls, mode: str, schedule: str, normalisation: str, window_in: str, decoder: str) -> bool | str:
        """Refuse choices that do not exist."""
        return refuse_unknown(
            mode=(mode, MODES),
            schedule=(schedule, CURVES),
            normalisation=(normalisation, NORMALISATIONS),
            window_in=(window_in, UNITS),
            decoder=(decoder, CHOICES),
        )

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
        w: float,
        mode: Mode,
        first_timestep: float,
        last_timestep: float,
        window_in: str,
        schedule: Curve,
        every: int,
        normalisation: Normalisation,
        recurrence: int,
        weigh_by_score: bool,
        measure_effect: bool,
        decoder: str,
        detection_threshold: float,
        download_missing: bool,
        start_mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Patch a clone of the model."""
        settings = VisualSettings(
            w, mode, Schedule(curve=schedule, every=every), normalisation, weigh_by_score, measure_effect
        )
        window = WindowInput(first_timestep, last_timestep, window_in)
        detector = hand_detector(download_missing, detection_threshold)
        plan = changed(
            model,
            mask=mask_part(model, vae, decoder, detector, start_mask),
            visual=VisualPart(discriminator, settings, window, recurrence),
        )
        return io.NodeOutput(guided(model, plan), plan.trace)
