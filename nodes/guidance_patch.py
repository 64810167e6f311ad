"""Visual guidance as a patch of a MODEL: it works with every sampler and scheduler."""

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.model_sampling
import comfy.sd
import torch

from ..fairhands.critic.network import Critic
from ..fairhands.guidance.visual import VisualGuidance
from .differentiable import make_differentiable

GUIDANCE_KEY = "fairhands_visual_guidance"


def patch_visual_guidance(
    model: comfy.model_patcher.ModelPatcher,
    guidance: VisualGuidance,
    discriminator: comfy.model_patcher.ModelPatcher,
    vae: comfy.sd.VAE,
) -> comfy.model_patcher.ModelPatcher:
    """A clone of the model whose clean estimate goes through guidance after CFG.

    Critic and decoder are declared as additional models, so ComfyUI has them on the device while sampling.
    """

    def guide(arguments: dict[str, Any]) -> torch.Tensor:
        sampling = arguments["model"].model_sampling
        sigma = arguments["sigma"][:1]
        timestep = float(sampling.timestep(sigma)[0])
        return guidance(arguments["denoised"], float(sigma), timestep, noise_share(sampling, float(sigma)))

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(guide)
    patched.set_additional_models(GUIDANCE_KEY, [discriminator, vae.patcher])
    return patched


def noise_share(sampling: object, sigma: float) -> float:
    """Standard deviation of the noise in the model's input of unit variance: t of a flow model, else sqrt(1 - abar)."""
    if isinstance(sampling, comfy.model_sampling.CONST):
        return sigma
    return sigma / (1 + sigma**2) ** 0.5


def decoder(model: comfy.model_patcher.ModelPatcher, vae: comfy.sd.VAE) -> Callable[[torch.Tensor], torch.Tensor]:
    """Decode the sampler's latents `[1, C, h, w]` to a picture `[1, 3, H, W]`, 0..1, differentiably."""

    vae.throw_exception_if_invalid()
    first_stage: Any = vae.first_stage_model

    def decode(latent: torch.Tensor) -> torch.Tensor:
        # After each load the weights may be inference tensors again; where they are not, this costs microseconds.
        make_differentiable(first_stage)
        latent = model.model.process_latent_out(latent).to(vae.vae_dtype)
        picture = vae.process_output(first_stage.decode(latent).float())
        return picture[:, :3]

    return decode


def critic_of(discriminator: comfy.model_patcher.ModelPatcher) -> Critic:
    """The critic that a HAND_DISCRIMINATOR holds."""
    make_differentiable(discriminator.model)
    return discriminator.model
