"""SD 1.5 and SDXL as base models, on diffusers' and transformers' networks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from .model import Added, BaseModel, Text
from .process import TIMESTEPS, Diffusion
from .tokens import tokens

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Networks:
    """The networks of a checkpoint, in one precision, and how it adds noise."""

    unet: nn.Module
    vae: AutoencoderKL
    text_encoders: tuple[CLIPTextModel | CLIPTextModelWithProjection, ...]
    tokenizer: CLIPTokenizer
    process: Diffusion


class StableDiffusion(BaseModel):
    """SD 1.5 and its descendants, which predict the noise or the velocity."""

    family: ClassVar[str] = "SD 1.5"
    resolution: ClassVar[int] = 512

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(_frozen(networks.unet, device), networks.process, device, dtype)
        self.text_encoders = tuple(_frozen(encoder, device) for encoder in networks.text_encoders)
        self.vae = cast(AutoencoderKL, _frozen(networks.vae, device))
        self.tokenizer = networks.tokenizer

    @property
    def latent_channels(self) -> int:
        return self.vae.config["latent_channels"]

    def encode_text(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Text:
        """The text encoder's last states, [N, 77, 768]; prompts beyond 77 tokens are cut with a warning."""
        encoder = self.text_encoders[0]
        return Text(encoder(self._tokens(prompts, encoder, padding=self._end)).last_hidden_state)

    def encode(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self._check(pictures)
        encoded = self.vae.encode((pictures * 2 - 1).to(self.vae.dtype))
        found = cast(AutoencoderKLOutput, encoded).latent_dist
        latents = found.mode() if generator is None else found.sample(generator)
        return latents.float() * self.vae.config["scaling_factor"]

    def decode(self, latents: Tensor) -> Tensor:
        scaled = latents.float() / self.vae.config["scaling_factor"]
        pictures = self.vae.decode(scaled.to(self.vae.dtype), return_dict=False)[0]
        if self.vae.dtype == torch.float16 and not bool(pictures.isfinite().all()):
            log.warning("the VAE overflows in half precision, so it goes on in single precision")
            self.vae.float()
            return self.decode(latents)
        return (pictures.float() / 2 + 0.5).clamp(0, 1)

    def predict(self, noised: Tensor, times: Tensor, text: Text, added: Added | None = None) -> Tensor:
        prediction = self.denoiser(
            noised.to(self.dtype),
            timesteps(times),
            encoder_hidden_states=text.states.to(self.dtype),
            added_cond_kwargs=self.conditions(text),
            **self._residuals(added or Added()),
            return_dict=False,
        )
        return prediction[0].float()

    def conditions(self, text: Text) -> dict[str, Tensor] | None:
        """What the U-Net and a ControlNet read beside the tokens' states.

        Raises:
            ValueError: the text has not what the family needs.
        """
        return None

    def _residuals(self, added: Added) -> dict[str, Any]:
        """What is added, as the U-Net takes it; None where nothing is."""
        skips = tuple(skip.to(self.dtype) for skip in added.skips)
        features = [feature.to(self.dtype) for feature in added.features]
        return {
            "down_block_additional_residuals": skips or None,
            "mid_block_additional_residual": None if added.middle is None else added.middle.to(self.dtype),
            "down_intrablock_additional_residuals": features or None,
        }

    @property
    def _end(self) -> int:
        return cast(int, self.tokenizer.eos_token_id)

    def _tokens(self, prompts: Sequence[str], encoder: nn.Module, padding: int) -> Tensor:
        length = cast(CLIPTextModel, encoder).config.max_position_embeddings
        return tokens(self.tokenizer, prompts, length, padding).to(self.device)


class StableDiffusionXL(StableDiffusion):
    """SDXL and its descendants."""

    family: ClassVar[str] = "SDXL"
    resolution: ClassVar[int] = 1024

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        if dtype == torch.float16 and networks.vae.config["force_upcast"]:
            networks = replace(networks, vae=networks.vae.float())  # SDXL's own VAE overflows in half precision
        super().__init__(networks, device, dtype)

    def encode_text(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Text:
        """Both encoders' states before the last block, [N, 77, 2048], and the second one's pooled text, [N, 1280].

        The pictures count as made in their size, uncropped; `dataclasses.replace(text, sizes=...)` says otherwise.
        """
        first, second = self.text_encoders
        seen = first(self._tokens(prompts, first, padding=self._end), output_hidden_states=True)
        pooling = second(self._tokens(prompts, second, padding=0), output_hidden_states=True)
        states = torch.cat([seen.hidden_states[-2], pooling.hidden_states[-2]], dim=-1)
        height, width = size or (self.resolution, self.resolution)
        sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32, device=self.device)
        return Text(states, pooling.text_embeds, sizes.expand(len(prompts), -1))

    def conditions(self, text: Text) -> dict[str, Tensor]:
        if text.pooled is None or text.sizes is None:
            raise ValueError("SDXL needs a text with pooled and sizes, found one without")
        return {"text_embeds": text.pooled.to(self.dtype), "time_ids": text.sizes}


def timesteps(times: Tensor) -> Tensor:
    """Times in 0..1 as the training timesteps that U-Nets count in."""
    return (times * TIMESTEPS).round()


def _frozen(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device).eval().requires_grad_(False)
