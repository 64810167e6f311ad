"""How the critic's gradient becomes a step: gradients differ a thousandfold between critics, decoders and timesteps."""

from typing import Literal

import torch

from .schedule import UNIT_STEP

Normalisation = Literal["unit", "cfg", "clip", "none"]
"""`unit`: the gradient has root mean square 1 over the mask, so a step has a known length. `cfg`: as `unit`, the length
being that of the step that classifier-free guidance takes there (FreeDoM, arXiv 2303.09833; MPGD, arXiv 2311.16424).
`clip`: the gradient as it is, shortened where it is longer than a unit step. `none`: as it is (Universal Guidance)."""


def masked_rms(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Root mean square of `[C, h, w]` over a mask `[h, w]`; 0 where the mask is empty."""
    weight = float(mask.sum()) * values.shape[0]
    return float((mask * values.square()).sum() / weight) ** 0.5 if weight > 0 else 0.0


def step_length(kind: Normalisation, gradient_rms: float, cfg_rms: float | None) -> float:
    """What the gradient is multiplied with, before strength and schedule.

    `gradient_rms`: of the gradient over the mask, above 0. `cfg_rms`: of cfg scale * (cond - uncond) there; None where
    there was no unconditional prediction, and `cfg` then means `unit`.
    """
    if kind == "none":
        return 1.0
    if kind == "clip":
        return min(1.0, UNIT_STEP / gradient_rms)
    length = cfg_rms if kind == "cfg" and cfg_rms is not None else UNIT_STEP
    return length / gradient_rms
