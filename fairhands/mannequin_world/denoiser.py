"""The mannequin model's denoiser: SD3's multimodal diffusion transformer, small, trained by flow matching.

A latent at noise level t in 0..1 is x = (1 - t) latent + t noise, and the network predicts noise - latent.
"""

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor, nn

from .autoencoder import LATENT_CHANNELS
from .prompts import PROMPT_SIZE

DEPTH = 3
"""Blocks, and heads in each: the layout ties them, ComfyUI reads depth = width / 64 from the file."""
HEAD_SIZE = 64
PATCH = 2  # ComfyUI miscounts the positions of other patches
LARGEST_SIDE = 32  # latent cells that the position table holds on a side
TIMESTEPS = 1000


def new_denoiser(side: int = 16) -> SD3Transformer2DModel:
    """A denoiser with random weights for latents of `side` x `side` cells."""
    width = DEPTH * HEAD_SIZE
    denoiser = SD3Transformer2DModel(
        sample_size=side,
        patch_size=PATCH,
        in_channels=LATENT_CHANNELS,
        num_layers=DEPTH,
        attention_head_dim=HEAD_SIZE,
        num_attention_heads=DEPTH,
        joint_attention_dim=PROMPT_SIZE,
        caption_projection_dim=width,
        pooled_projection_dim=PROMPT_SIZE,
        out_channels=LATENT_CHANNELS,
        pos_embed_max_size=LARGEST_SIDE // PATCH,
        qk_norm="rms_norm",
    )
    _start_as_identity(denoiser)
    return denoiser


def _start_as_identity(denoiser: SD3Transformer2DModel) -> None:
    """Let every block begin as the identity and the prediction as zero (adaLN-Zero), which trains faster."""
    for name, module in denoiser.named_modules():
        modulates = name.endswith((".norm1.linear", ".norm1_context.linear")) or name == "norm_out.linear"
        if modulates or name == "proj_out":
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def predict(denoiser: SD3Transformer2DModel, noised: Tensor, levels: Tensor, prompts: Tensor) -> Tensor:
    """Predict noise - latent.

    Args:
        denoiser: the network.
        noised: latents with noise, [N, 16, h, w].
        levels: noise levels in 0..1, [N].
        prompts: vectors of `prompts.encode`, [N, PROMPT_SIZE].
    """
    return denoiser(
        hidden_states=noised,
        encoder_hidden_states=prompts[:, None],
        pooled_projections=prompts,
        timestep=levels * TIMESTEPS,
        return_dict=False,
    )[0]


def add_noise(latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """The latents [N, C, h, w] at their noise levels [N]."""
    return torch.lerp(latents, noise, levels[:, None, None, None])


@torch.no_grad()
def sample(
    denoiser: SD3Transformer2DModel,
    noise: Tensor,
    prompts: Tensor,
    negatives: Tensor | None = None,
    guidance: float = 1.0,
    steps: int = 20,
    shift: float = 3.0,
) -> Tensor:
    """Latents from noise by Euler steps over the levels that ComfyUI's `simple` scheduler takes.

    Args:
        denoiser: the network.
        noise: [N, 16, h, w].
        prompts, negatives: vectors of `prompts.encode`, [N, PROMPT_SIZE]; negatives are needed for guidance.
        guidance: classifier-free guidance; 1 is none.
        steps: how many.
        shift: SD3's shift of the levels toward noise.
    """
    levels = torch.linspace(1, 0, steps + 1)
    levels = shift * levels / (1 + (shift - 1) * levels)
    latents = noise
    for level, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        at = latents.new_full((len(latents),), level)
        direction = predict(denoiser, latents, at, prompts)
        if guidance != 1.0 and negatives is not None:
            away = predict(denoiser, latents, at, negatives)
            direction = away + guidance * (direction - away)
        latents = latents + (after - level) * direction
    return latents
