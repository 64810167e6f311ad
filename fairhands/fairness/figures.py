"""What a log says about a step for several objectives."""

from collections.abc import Sequence

import torch
from torch import Tensor


def figures(objectives: Sequence[str], present: Tensor, weights: Tensor, gram: Tensor | None) -> dict[str, Tensor]:
    """Scalars by name; what an absent objective lacks is 0, so that the names are always the same.

    Args:
        objectives: K names.
        present: bool [K], whether each was in the step.
        weights: float64 [K].
        gram: float64 [K, K], the gradients' inner products; None where they are never measured.

    Returns:
        `present/i`, `weight/i`; with a Gram matrix also `gradient_norm/i`, `cosine/i_j` for i before j, and `share/i`,
        the part w_i <g_i, d> / |d|^2 of the combined gradient d, which sum to 1.
    """
    used = torch.where(present, weights, 0.0)
    found = _named("present", objectives, present.double()) | _named("weight", objectives, used)
    if gram is None:
        return found
    norms = gram.diagonal().sqrt()
    cosines = (gram / (norms[:, None] * norms)).nan_to_num(0.0)
    parts = used * (gram @ used)
    found |= _named("gradient_norm", objectives, norms)
    found |= _named("share", objectives, (parts / parts.sum()).nan_to_num(0.0, 0.0, 0.0))
    for one, name in enumerate(objectives):
        for other in range(one + 1, len(objectives)):
            found[f"cosine/{name}_{objectives[other]}"] = cosines[one, other]
    return found


def _named(figure: str, objectives: Sequence[str], values: Tensor) -> dict[str, Tensor]:
    return {f"{figure}/{name}": value for name, value in zip(objectives, values, strict=True)}
