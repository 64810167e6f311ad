"""The mannequin model as a base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor, nn

from ..mannequin_world import denoiser, file
from ..mannequin_world.autoencoder import LATENT_CHANNELS
from ..mannequin_world.pictures import PICTURE_SIZE
from ..mannequin_world.prompts import encode
from .model import Added, BaseModel, Text
from .process import Flow

SHIFT = 3.0  # what ComfyUI samples SD3's layout with


class Mannequin(BaseModel):
    """A small model of drawn hands that knows the prompts of `mannequin_world.prompts` and no others."""

    family = "mannequin"
    resolution = PICTURE_SIZE
    side_step = 8 * denoiser.PATCH

    def __init__(self, model: file.Model, device: torch.device, dtype: torch.dtype) -> None:
        # diffusers' own `to` warns of modules to be kept in float32, although this network has none.
        network = nn.Module.to(model.denoiser, device, dtype)
        super().__init__(network.requires_grad_(False), Flow(SHIFT), device, dtype)
        self.autoencoder = model.autoencoder.to(device, dtype).requires_grad_(False)

    @classmethod
    def read(cls, path: Path, device: torch.device, dtype: torch.dtype) -> Mannequin:
        """The model in a file.

        Raises:
            WeightFileError: the file is missing, damaged or of another model.
        """
        return cls(file.read(path), device, dtype)

    @property
    def latent_channels(self) -> int:
        return LATENT_CHANNELS

    def encode_text(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Text:
        """The prompts' fixed vectors, [N, 1, PROMPT_SIZE].

        Raises:
            ValueError: the model does not know a prompt.
        """
        return Text(torch.stack([encode(prompt) for prompt in prompts])[:, None].to(self.device))

    def encode(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self._check(pictures)
        return self.autoencoder.encode(pictures.to(self.dtype)).float().contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents.to(self.dtype)).float().clamp(0, 1).contiguous()

    def predict(self, noised: Tensor, times: Tensor, text: Text, added: Added | None = None) -> Tensor:
        if added is not None:
            raise ValueError("The mannequin model has no place for what a ControlNet or T2I-Adapter adds.")
        network = cast(SD3Transformer2DModel, self.denoiser)
        prompts = text.states[:, 0].to(self.dtype)
        return denoiser.predict(network, noised.to(self.dtype), times, prompts).float()
