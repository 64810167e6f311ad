"""What guidance sees of the mannequin model: clean estimates of pictures at some noise level, decoded."""

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor

from .autoencoder import Autoencoder
from .denoiser import add_noise, predict


@torch.no_grad()
def clean_estimates(
    denoiser: SD3Transformer2DModel,
    autoencoder: Autoencoder,
    pictures: Tensor,
    noise: Tensor,
    levels: Tensor,
    prompt: Tensor,
) -> Tensor:
    """The pictures noised in latent space, denoised in one step and decoded: [N, 3, H, W] in 0..1 in and out.

    Args:
        denoiser, autoencoder: of the mannequin model, on one device.
        pictures: [N, 3, H, W] in 0..1.
        noise: [N, 16, H / 8, W / 8].
        levels: noise levels in 0..1, [N]; at 0 only the autoencoder's loss remains.
        prompt: vector of `prompts.encode`, [PROMPT_SIZE].
    """
    with torch.autocast(pictures.device.type, torch.bfloat16):
        latents = autoencoder.encode(pictures.contiguous(memory_format=torch.channels_last)).float()
        noised = add_noise(latents, noise, levels)
        direction = predict(denoiser, noised, levels, prompt.expand(len(pictures), -1)).float()
        estimates = noised - levels[:, None, None, None] * direction
        seen = autoencoder.decode(estimates.contiguous(memory_format=torch.channels_last))
    return seen.float().clamp(0, 1).contiguous()
