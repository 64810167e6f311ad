"""Recurrence of guided steps around ComfyUI's samplers."""

import copy
from collections.abc import Callable

import comfy.model_sampling
import comfy.samplers

from ..fairhands.guidance.recurrence import recurrent, renoise_flow, renoise_variance_exploding

# Sampler functions that cannot take a schedule step by step, by name, as this ComfyUI calls the sampler.
WITHOUT_RECURRENCE = {
    # They choose their own steps between the schedule's ends.
    "dpm_fast_function": "dpm_fast",
    "dpm_adaptive_function": "dpm_adaptive",
    # Their order needs two steps or more, and they write into the schedule.
    "sample_unipc": "uni_pc",
    "sample_unipc_bh2": "uni_pc_bh2",
    # They leave the last step out where the schedule does not end at 0.
    "sample_sa_solver": "sa_solver",
    "sample_sa_solver_pece": "sa_solver_pece",
}


def recurrent_sampler(
    sampler: comfy.samplers.Sampler, model_sampling: object, repeats: int, guided: Callable[[float], bool]
) -> comfy.samplers.Sampler:
    """The sampler with each guided step done `repeats` times (see `recurrent`); with 1 the very same sampler.

    `model_sampling`: the model's, which tells flow models from variance-exploding ones. `guided`: by the step's sigma.
    Raises ValueError where the sampler cannot take its steps one by one, or `repeats` is below 1.
    """
    if repeats == 1:
        return sampler
    if not isinstance(sampler, comfy.samplers.KSAMPLER):
        raise ValueError(f"sampler is a {type(sampler).__name__}{_choose_another(repeats)}")
    name = getattr(sampler.sampler_function, "__name__", "")
    if name in WITHOUT_RECURRENCE:
        raise ValueError(f"sampler is {WITHOUT_RECURRENCE[name]}{_choose_another(repeats)}")
    flow = isinstance(model_sampling, comfy.model_sampling.CONST)
    wrapped = copy.copy(sampler)
    wrapped.sampler_function = recurrent(
        sampler.sampler_function, repeats, guided, renoise_flow if flow else renoise_variance_exploding
    )
    return wrapped


def _choose_another(repeats: int) -> str:
    return (
        f", which cannot repeat single steps, and repeats is {repeats}: choose euler, dpmpp_2m or euler_ancestral, "
        "or 1 repeat."
    )
