"""Gradients of several objectives as lists of tensors: never flattened, never copied whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

Gradient = list[Tensor | None]
"""One objective's gradient: a tensor for each weight, None where it does not depend on the weight."""


def gram_matrix(gradients: Sequence[Gradient]) -> Tensor:
    """The inner products of gradients, float64 [K, K] on their device; an empty gradient's are zero.

    All products of one weight's parts come together: then each part is read from memory but once.
    """
    count = len(gradients)
    given = [at for at, gradient in enumerate(gradients) if gradient]
    pairs = [(one, other) for at, one in enumerate(given) for other in given[at:]]
    weights = list(zip(*(gradients[at] for at in given), strict=True))
    products = [_products(parts) for parts in weights if any(part is not None for part in parts)]
    if not products:
        return torch.zeros(count, count, dtype=torch.float64)
    sums = torch.stack([torch.stack(of_weight) for of_weight in products]).sum(dim=0, dtype=torch.float64)
    gram = torch.zeros(count, count, dtype=torch.float64, device=sums.device)
    one, other = torch.tensor(pairs, device=sums.device).T
    gram[one, other] = gram[other, one] = sums
    return gram


def accumulate(total: Gradient, other: Gradient, factor: float = 1.0) -> Gradient:
    """total + factor * other, in the memory of `total`, which may be empty."""
    if not total:
        return scale(other, factor)
    with torch.no_grad():
        both = [(one, more) for one, more in zip(total, other, strict=True) if one is not None and more is not None]
        if both:
            add = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
            add([one for one, _ in both], [more for _, more in both], alpha=factor)
        return [
            more * factor if one is None and more is not None else one for one, more in zip(total, other, strict=True)
        ]


def scale(gradient: Gradient, factor: float) -> Gradient:
    """factor * gradient, in its own memory."""
    given = [part for part in gradient if part is not None]
    if given and factor != 1:
        with torch.no_grad():
            torch._foreach_mul_(given, factor)  # pyright: ignore[reportPrivateImportUsage]
    return gradient


def _products(parts: Sequence[Tensor | None]) -> list[Tensor]:
    """The inner products of all pairs, of 16-bit parts in float32: their squares would leave the range."""
    zero = next(part for part in parts if part is not None).new_zeros((), dtype=torch.float32)
    flat = [None if part is None else part.reshape(-1) for part in parts]
    flat = [part.float() if part is not None and part.element_size() < zero.element_size() else part for part in flat]
    return [
        zero if one is None or other is None else torch.dot(one, other)
        for at, one in enumerate(flat)
        for other in flat[at:]
    ]
