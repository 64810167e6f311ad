"""Small base models of each family, and adapters that change what they predict."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import BaseModel, Text, load
from fairhands.base_models.shapes import Shapes
from fairhands.base_models.single_file import empty_networks
from fairhands.base_models.stable_diffusion import Networks, StableDiffusion, StableDiffusionXL
from tests.base_models.checkpoints import write_folder

MANNEQUIN = Path(__file__).parents[2] / "weights" / "checkpoints" / "mannequin_model.safetensors"
FAMILIES = ("SD 1.5", "SDXL", "mannequin")
CHOICES = ("attention", "cross_attention", "no_cross_attention", "all")


def tiny(family: str, folder: Path, dtype: torch.dtype = torch.float32) -> BaseModel:
    """The shipped mannequin model, or a random one of the family; the same weights each time."""
    if family == "mannequin":
        return load(MANNEQUIN, dtype=dtype)
    if not folder.exists():
        write_folder(folder, xl=family == "SDXL")
    return load(folder, dtype=dtype)


def inputs(base: BaseModel, rows: int = 2) -> tuple[Tensor, Tensor, Text]:
    """Noised latents, times and prompts to predict of."""
    noised = torch.randn(rows, base.latent_channels, 16, 16, generator=torch.Generator().manual_seed(3))
    return noised, torch.linspace(0.4, 0.7, rows), base.encode_text(["hand"], (128, 128)).repeated(rows)


def predicted(base: BaseModel) -> Tensor:
    """The prediction of `inputs`, without a gradient."""
    with torch.no_grad():
        return base.predict(*inputs(base))


def moved(adapter: LoraAdapter, size: float = 0.3, seed: int = 0) -> LoraAdapter:
    """The adapter with random weights, such as training might leave."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in adapter.parameters():
            spread = size * weight[0].numel() ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    return adapter


def adapted(base: BaseModel, text_encoders: bool = False, **settings: object) -> LoraAdapter:
    """An adapter with random weights."""
    return moved(LoraAdapter(base, LoraSettings.model_validate(settings), text_encoders))


def hollow(shapes: Shapes) -> StableDiffusion:
    """A full-sized SD 1.5 or SDXL whose weights have shapes and no values."""
    unet, vae, encoders = empty_networks(shapes)
    kind = StableDiffusionXL if len(encoders) == 2 else StableDiffusion
    no_tokenizer = cast(CLIPTokenizer, None)
    networks = Networks(cast(nn.Module, unet), vae, encoders, no_tokenizer, shapes.process(None))
    return kind(networks, torch.device("meta"), torch.float16)
