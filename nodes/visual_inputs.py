"""The settings of visual guidance as inputs, and what they stand for."""

from dataclasses import replace

import comfy.model_patcher
import comfy.sd
import torch
from comfy_api.latest import io

from ..fairhands.guidance.normalisation import Normalisation
from ..fairhands.guidance.schedule import Curve, Schedule
from ..fairhands.guidance.visual import Mode, VisualSettings
from .critic_text import encoded
from .decoding import AUTO, CHOICES
from .detector import download_input, hand_detector, threshold_input
from .guidance_inputs import (
    CURVES,
    MODES,
    NORMALISATIONS,
    UNITS,
    decoder_input,
    mask_part,
    refuse_unknown,
    schedule_inputs,
    start_mask_input,
    strength_input,
    window_inputs,
)
from .guidance_plan import TIMESTEPS, Plan, VisualPart, WindowInput, changed


def visual_inputs() -> list[io.Input]:
    """All settings of visual guidance, and how hands are looked for."""
    return [
        strength_input("w", "Strength of guidance. 0 is off. Too much ruins hands; try 1 to 4."),
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
            tooltip="How large a step of w 1 is. unit: the same for every model. cfg: as large as CFG's own. clip: at "
            "most unit. none: the gradient as it is, whose size depends on discriminator and timestep.",
        ),
        io.Int.Input(
            "recurrence",
            default=1,
            min=1,
            max=16,
            tooltip="How often each guided step is taken, with noise added back between. 1 is once.",
        ),
        io.Boolean.Input("weigh_by_score", default=False, tooltip="Let hands that are found more surely count more."),
        io.Boolean.Input(
            "measure_effect",
            default=False,
            tooltip="Ask the discriminator again after each step, so that the plot shows whether it helped. Costs "
            "another decoding.",
        ),
        decoder_input(),
        threshold_input("detection_threshold", 0.5),
        download_input(),
        start_mask_input(),
        io.Clip.Input(
            "clip", optional=True, tooltip="For a discriminator that was trained with texts: it encodes hand_text."
        ),
        io.String.Input(
            "hand_text",
            default="",
            optional=True,
            tooltip="What the hands should be, for such a discriminator, where the prompt's own encoding does not fit "
            "it (SDXL, SD3, Flux).",
        ),
    ]


def refuse_unknown_visual(mode: str, schedule: str, normalisation: str, window_in: str, decoder: str) -> bool | str:
    """True, or a sentence about the first choice of visual guidance that does not exist."""
    return refuse_unknown(
        mode=(mode, MODES),
        schedule=(schedule, CURVES),
        normalisation=(normalisation, NORMALISATIONS),
        window_in=(window_in, UNITS),
        decoder=(decoder, CHOICES),
    )


def visual_plan(
    model: comfy.model_patcher.ModelPatcher,
    vae: comfy.sd.VAE,
    discriminator: comfy.model_patcher.ModelPatcher,
    *,
    w: float,
    first_timestep: float,
    last_timestep: float,
    detection_threshold: float,
    download_missing: bool,
    mode: Mode = "fast",
    window_in: str = TIMESTEPS,
    schedule: Curve = "noise",
    every: int = 1,
    normalisation: Normalisation = "unit",
    recurrence: int = 1,
    weigh_by_score: bool = False,
    measure_effect: bool = False,
    decoder: str = AUTO,
    start_mask: torch.Tensor | None = None,
    clip: comfy.sd.CLIP | None = None,
    hand_text: str = "",
    keep_background: bool = False,
) -> Plan:
    """The model's plan with visual guidance in it; hand LoRA and mask settings that it carries stay.

    Raises:
        ValueError: settings out of range, or a decoder that is not there, each in a sentence.
    """
    settings = VisualSettings(
        w, mode, Schedule(curve=schedule, every=every), normalisation, weigh_by_score, measure_effect
    )
    detector = hand_detector(download_missing, detection_threshold)
    mask = mask_part(model, vae, decoder, detector, start_mask)
    return changed(
        model,
        mask=replace(mask, keep_background=keep_background or mask.keep_background),
        visual=VisualPart(
            discriminator,
            settings,
            WindowInput(first_timestep, last_timestep, window_in),
            recurrence,
            encoded(clip, hand_text),
        ),
    )
