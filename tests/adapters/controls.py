"""Small base models with as many levels as SD 1.5 and SDXL have, and networks beside them."""

from copy import copy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from fairhands.adapters.control import Control
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.base_models import BaseModel
from fairhands.base_models.shapes import SD15, SDXL
from fairhands.base_models.stable_diffusion import StableDiffusion
from tests.adapters.bases import tiny
from tests.base_models.checkpoints import SD_UNET, XL_UNET

LEVELLED = ("SD 1.5", "SDXL")
KINDS: tuple[type[Control], ...] = (ControlNet, T2IAdapter)
NARROW = {"norm_num_groups": 8, "layers_per_block": 1, "sample_size": 8}
UNETS = {
    "SD 1.5": {**SD15.unet, **NARROW, "block_out_channels": (16, 32, 64, 64), "attention_head_dim": 2}
    | {"cross_attention_dim": SD_UNET["cross_attention_dim"]},
    "SDXL": {**SDXL.unet, **NARROW, "block_out_channels": (16, 32, 64), "attention_head_dim": (2, 2, 4)}
    | {"transformer_layers_per_block": (1, 1, 2)}
    | {
        name: XL_UNET[name]
        for name in ("cross_attention_dim", "addition_time_embed_dim", "projection_class_embeddings_input_dim")
    },
}


def levelled(family: str, dtype: torch.dtype = torch.float32) -> StableDiffusion:
    """A random base of the family with a narrow U-Net of all its levels; the same weights each time."""
    base = copy(_tiny(family, dtype))
    torch.manual_seed(2)
    base.denoiser = nn.Module.to(UNet2DConditionModel(**UNETS[family]), dtype).eval().requires_grad_(False)
    return base


@cache
def _tiny(family: str, dtype: torch.dtype) -> StableDiffusion:
    with TemporaryDirectory() as folder:
        base = tiny(family, Path(folder) / "base", dtype)
    assert isinstance(base, StableDiffusion)
    return base


def new(kind: type[Control], base: BaseModel, seed: int = 0) -> Control:
    """A new network beside the base."""
    torch.manual_seed(seed)
    return kind.new(base)


def moved(control: Control, seed: int = 0) -> Control:
    """The network with weights such as training might leave: none of them zero, and the picture counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in control.named_parameters():
            size = 2.0 if "cond_embedding" in name else 0.3
            weight += size * torch.randn(weight.shape, generator=generator) * max(1, weight[0].numel()) ** -0.5
    return control


def shown(rows: int = 2, side: int = 128) -> Tensor:
    """Pictures to show to a network."""
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(5))
