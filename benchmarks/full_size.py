"""Base models at the full sizes of SD 1.5 and SDXL, in random weights and half precision."""

from dataclasses import dataclass

import torch
from torch import nn

from fairhands.base_models import BaseModel, Text
from fairhands.base_models.shapes import SD15, SDXL, Shapes
from fairhands.base_models.single_file import empty_networks
from fairhands.base_models.stable_diffusion import Networks, StableDiffusion, StableDiffusionXL
from fairhands.base_models.tokens import clip_tokenizer

SPREAD = 0.02  # of random weights
PROCESSOR_SIDE = 256  # of pictures, where there is no GPU


@dataclass(frozen=True)
class Case:
    """A family at its size; on a processor pictures are of 256 pixels."""

    name: str
    shapes: Shapes
    base: type[StableDiffusion]
    resolution: int

    def latent_side(self, device: torch.device) -> int:
        """Cells on the side of a latent."""
        return (self.resolution if device.type == "cuda" else PROCESSOR_SIDE) // self.base.cells


SD15_CASE = Case("sd15", SD15, StableDiffusion, 512)
SDXL_CASE = Case("sdxl", SDXL, StableDiffusionXL, 1024)


def random_base(case: Case, device: torch.device) -> BaseModel:
    """The base model without its text encoders."""
    unet, vae, _ = empty_networks(case.shapes)
    for network in (unet, vae):
        _fill(network, device)
    return case.base(Networks(unet, vae, (), clip_tokenizer(), case.shapes.process(None)), device, torch.bfloat16)


@torch.no_grad()
def _fill(network: nn.Module, device: torch.device) -> None:
    network.to(torch.bfloat16).to_empty(device=device)
    for weight in (*network.parameters(), *network.buffers()):
        weight.normal_(std=SPREAD)


def random_text(case: Case, device: torch.device) -> Text:
    """One encoded prompt."""
    width = case.shapes.unet["cross_attention_dim"]
    states = torch.randn(1, 77, width, device=device)
    if case.base is StableDiffusion:
        return Text(states)
    size = torch.tensor([[case.resolution, case.resolution, 0, 0, case.resolution, case.resolution]], device=device)
    return Text(states, torch.randn(1, 1280, device=device), size.float())
