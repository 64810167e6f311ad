"""Inputs that the guidance nodes share, and what they stand for."""

from dataclasses import replace
from typing import get_args

import comfy.model_patcher
import comfy.sd
import torch
from comfy_api.latest import io

from ..fairhands.guidance.normalisation import Normalisation
from ..fairhands.guidance.schedule import FIRST_TIMESTEP, LAST_TIMESTEP, Curve
from ..fairhands.guidance.visual import Mode
from ..fairhands.hands.detector import HandDetector
from .connections import GuidanceTrace
from .decoding import AUTO, CHOICES, decoder_for
from .guidance_plan import PERCENT, TIMESTEPS, MaskPart, Plan, plan_of

CURVES: list[str] = list(get_args(Curve))
NORMALISATIONS: list[str] = list(get_args(Normalisation))
MODES: list[str] = list(get_args(Mode))
UNITS = [TIMESTEPS, PERCENT]


def strength_input(name: str, tooltip: str, default: float = 1.0) -> io.Float.Input:
    """A strength; 0 is off."""
    return io.Float.Input(name, default=default, min=-100.0, max=100.0, step=0.05, tooltip=tooltip)


def window_inputs(what: str, unit: bool = True) -> list[io.Input]:
    """First and last timestep, and the unit that they are counted in."""
    ends: list[io.Input] = [
        io.Float.Input(
            "first_timestep",
            default=FIRST_TIMESTEP,
            min=0.0,
            max=1000.0,
            step=1.0,
            tooltip=f"{what} begins at this training timestep (999 is pure noise).",
        ),
        io.Float.Input(
            "last_timestep",
            default=LAST_TIMESTEP,
            min=0.0,
            max=1000.0,
            step=1.0,
            tooltip=f"{what} ends at this training timestep (0 is the finished picture).",
        ),
    ]
    if not unit:
        return ends
    choice = io.Combo.Input(
        "window_in",
        options=UNITS,
        default=TIMESTEPS,
        tooltip="What first and last count: training timesteps (650 to 150), or percent of sampling (20 to 80).",
    )
    return [*ends, choice]


def schedule_inputs(curve: str) -> list[io.Input]:
    """The curve over the window, and how many of its steps are guided."""
    return [
        io.Combo.Input(
            "schedule",
            options=CURVES,
            default=curve,
            tooltip="How strong over the window. noise: with the share of noise, less toward its end. constant: all "
            "alike. sigma2: with sigma squared, far more at its beginning. cosine: fading to 0.",
        ),
        io.Int.Input(
            "every",
            default=1,
            min=1,
            max=100,
            tooltip="Guide only each n-th step of the window. 2 halves what guidance costs.",
        ),
    ]


def decoder_input() -> io.Combo.Input:
    """Which decoder estimates are looked at with."""
    return io.Combo.Input(
        "decoder",
        options=CHOICES,
        default=AUTO,
        tooltip="vae: the connected VAE. tiny: TAESD from models/vae_approx/, far faster. auto: tiny where its file is "
        "there. The trace says which was used.",
    )


def start_mask_input() -> io.Mask.Input:
    """A mask known before sampling."""
    return io.Mask.Input(
        "start_mask", optional=True, tooltip="Where hands are known to be from the start; of any size."
    )


def patched_outputs() -> list[io.Output]:
    """What a node that patches a MODEL gives."""
    return [
        io.Model.Output("MODEL", display_name="model", tooltip="The guided model, for any sampler or guider."),
        GuidanceTrace.Output(
            "TRACE",
            display_name="trace",
            tooltip="What guidance did in the last sampling. Of several guidance nodes the last one's trace is filled; "
            "give the plot the sampler's latent too.",
        ),
    ]


def refuse_unknown(**choices: tuple[str | None, list[str]]) -> bool | str:
    """True, or a sentence about the first choice that does not exist; ComfyUI does not check those of V3 nodes.

    A choice that another node gives is None before anything ran, and not refused.
    """
    for name, (value, known) in choices.items():
        if value is not None and value not in known:
            return f"{name} is {value!r}, expected one of {', '.join(known)}."
    return True


def mask_part(
    model: comfy.model_patcher.ModelPatcher,
    vae: comfy.sd.VAE,
    decoder: str,
    detector: HandDetector,
    start_mask: torch.Tensor | None = None,
) -> MaskPart:
    """How hands are followed with the usual settings, or with those that a Hand Mask While Sampling gave the model.

    A start mask that one node before has stays, where there is no other.
    """
    before = plan_of(model).mask
    if before is not None and before.chosen:
        return with_start(before, start_mask)
    return MaskPart(*decoder_for(model, vae, decoder), detector, start=either_start(start_mask, before))


def either_start(start_mask: torch.Tensor | None, other: MaskPart | None) -> torch.Tensor | None:
    """A node's start mask, or the other's where it has none."""
    return start_mask if start_mask is not None or other is None else other.start


def with_start(part: MaskPart, start_mask: torch.Tensor | None) -> MaskPart:
    """The mask with a start mask where it has none."""
    return part if part.start is not None else replace(part, start=start_mask)


def require_mask(plan: Plan) -> None:
    """Raises ValueError for a plan that cannot find hands."""
    if plan.mask is None:
        raise ValueError(
            "vae is not connected, and no Hand Visual Guidance or Hand Mask While Sampling comes before: connect a "
            "VAE, so that hands can be looked for while sampling."
        )
