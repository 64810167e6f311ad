"""Which layers of a network a LoRA is put on."""

import re
from typing import NamedTuple

from torch import nn

from .settings import LayerChoice


class _Parts(NamedTuple):
    """Patterns of the module paths of a network's layers."""

    blocks: str
    """Of all that a LoRA may be put on: what lies before and after the blocks stays out, as in kohya's."""
    attention: str
    cross_attention: str
    """Of what reads the text alone; in a text encoder, which has none, of its attention."""


_U_NET = _Parts(r"(attentions|resnets|downsamplers|upsamplers)\.", r"\.attn[12]\.", r"\.attn2\.")
_PARTS = {
    "SD 1.5": _U_NET,
    "SDXL": _U_NET,
    "mannequin": _Parts(r"transformer_blocks\.", r"\.attn\.", r"\.attn\.(add_[qkv]_proj|to_add_out)$"),
}
_TEXT_ENCODER = _Parts(r"\blayers\.", r"\.self_attn\.", r"\.self_attn\.")


def denoiser_layers(denoiser: nn.Module, family: str, choice: LayerChoice) -> list[str]:
    """Module paths of the linear layers and convolutions that are chosen, in the network's order."""
    parts = _PARTS[family]
    if choice == "no_cross_attention":
        kept = set(_matching(denoiser, parts.cross_attention))
        return [path for path in _matching(denoiser, parts.blocks) if path not in kept]
    return _matching(denoiser, {"all": parts.blocks, **parts._asdict()}[choice])


def text_encoder_layers(encoder: nn.Module, choice: LayerChoice) -> list[str]:
    """The same of a text encoder: its attention, and with "all" and "no_cross_attention" the other layers too."""
    narrow = choice in ("attention", "cross_attention")
    return _matching(encoder, _TEXT_ENCODER.attention if narrow else _TEXT_ENCODER.blocks)


def _matching(network: nn.Module, pattern: str) -> list[str]:
    found = re.compile(pattern).search
    return [
        path for path, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d)) and found(path)
    ]
