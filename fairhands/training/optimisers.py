"""The optimisers that trainers of adapters offer beside the loop's own AdamW."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.optim import Optimizer

Optimiser = Literal["adamw", "adamw8bit", "prodigy"]

# Which package an optimiser is of; None: PyTorch itself.
PACKAGES: dict[Optimiser, str | None] = {"adamw": None, "adamw8bit": "bitsandbytes", "prodigy": "prodigyopt"}
LEAST_PRODIGY_RATE = 0.05


class OptimiserError(ValueError):
    """An optimiser that cannot be used; its text says why and what would do."""


def check(name: Optimiser, learning_rate: float, device: torch.device) -> None:
    """Look whether an optimiser can be used, before any long work.

    Raises:
        OptimiserError: its package is missing, it does not run on the device, or the learning rate is not for it.
    """
    package = PACKAGES[name]
    if package is not None and find_spec(package) is None:
        raise OptimiserError(f"the optimiser {name} needs the package {package}: pip install {package}, or take adamw")
    if name == "adamw8bit" and device.type != "cuda":
        raise OptimiserError(f"the optimiser adamw8bit needs an NVIDIA card, found {device.type}: take adamw")
    if name == "prodigy" and learning_rate < LEAST_PRODIGY_RATE:
        raise OptimiserError(
            "the optimiser prodigy finds the learning rate itself and multiplies it with the given one, which should "
            f"be about 1, found {learning_rate:g}"
        )


def new_optimiser(
    name: Optimiser,
    weights: Sequence[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> Optimizer:
    """The optimiser of some weights.

    Args:
        name: "adamw"; "adamw8bit", whose state takes a quarter of the memory; or "prodigy" (arXiv 2306.06101), which
            finds its own learning rate.
        weights: what is trained.
        learning_rate: for prodigy a factor of the one that it finds.
        betas, weight_decay: AdamW's.

    Raises:
        ImportError: its package is not installed; `check` says so in a sentence.
    """
    if name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found]

        return AdamW8bit(weights, learning_rate, betas, weight_decay=weight_decay)
    if name == "prodigy":
        from prodigyopt import Prodigy  # type: ignore[import-not-found]

        # Its guesses while the rate warms up are too small to count.
        options: dict[str, Any] = {"use_bias_correction": True, "safeguard_warmup": True}
        return Prodigy(weights, learning_rate, betas, **options, weight_decay=cast(int, weight_decay))
    return torch.optim.AdamW(weights, learning_rate, betas, weight_decay=weight_decay, fused=True)
