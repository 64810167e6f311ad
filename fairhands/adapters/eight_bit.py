"""A frozen base in 8 bits, with bitsandbytes."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from ..base_models import BaseModel

# As large an input is computed in half precision (LLM.int8(), arXiv 2208.07339).
OUTLIERS = 6.0


def in_eight_bits(base: BaseModel) -> None:
    """Keep the weights of the denoiser's linear layers in 8 bits, in place: half the memory of half precision.

    It comes before an adapter. Convolutions, norms and the text encoders stay as they are.

    Raises:
        ImportError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ImportError(
            "a base in 8 bits needs the package bitsandbytes, which is not installed: install it, or give the base "
            "in half precision"
        )
    linear = [(path, layer) for path, layer in base.denoiser.named_modules() if type(layer) is nn.Linear]
    for path, layer in linear:
        base.denoiser.set_submodule(path, _kept_in_eight_bits(layer))
    # What peft asks a network for before it adapts layers of 8 bits.
    base.denoiser.is_loaded_in_8bit = True  # pyright: ignore[reportArgumentType]


def _kept_in_eight_bits(layer: nn.Linear) -> nn.Module:
    bnb: Any = import_module("bitsandbytes")
    made = bnb.nn.Linear8bitLt(
        layer.in_features, layer.out_features, bias=False, has_fp16_weights=False, threshold=OUTLIERS, device="meta"
    )
    made.weight = bnb.nn.Int8Params(layer.weight.data.cpu(), requires_grad=False, has_fp16_weights=False)
    made.bias = layer.bias
    return made.to(layer.weight.device).eval()  # moving it there is what makes 8 bits of it
