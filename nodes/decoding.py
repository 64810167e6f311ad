"""Decoders for guidance: the VAE that the artist connected, or TAESD from ComfyUI's models/vae_approx."""

import logging
import os
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import folder_paths
import torch
from comfy.taesd.taesd import TAESD

from ..fairhands.guidance.decoders import Decoder
from .differentiable import make_differentiable

AUTO, VAE, TINY = "auto", "vae", "tiny"
CHOICES = [AUTO, VAE, TINY]


def decoder_for(
    model: comfy.model_patcher.ModelPatcher, vae: comfy.sd.VAE, choice: str
) -> tuple[Decoder, comfy.model_patcher.ModelPatcher]:
    """The decoder of a choice, and what ComfyUI has to load for it.

    `auto` takes the tiny one where its file is found: it costs a tenth to a twentieth of the VAE.

    Raises:
        ValueError: `tiny` without its file, or a VAE of something else than pictures.
    """
    vae.throw_exception_if_invalid()
    scale = vae.spacial_compression_decode()
    if not isinstance(scale, int):
        raise ValueError(
            f"vae enlarges latents by {scale}, expected a whole number: hand guidance needs the VAE of a picture model."
        )
    file = None if choice == VAE else _tiny_file(model)
    if file is not None:
        return _tiny_decoder(model, file, scale)
    if choice == TINY:
        name = model.model.latent_format.taesd_decoder_name
        raise ValueError(
            f"decoder is tiny, but models/vae_approx/ holds no {name or 'tiny decoder for this kind of model'}: put "
            "the file there (TAESD, from https://github.com/madebyollin/taesd), or choose vae."
        )
    return Decoder(_vae_decode(model, vae), scale, "vae"), vae.patcher


def decoder_files() -> str:
    """A fingerprint of the tiny decoders' files: a node that chose among them runs again once they change."""
    files = [folder_paths.get_full_path("vae_approx", name) for name in folder_paths.get_filename_list("vae_approx")]
    return ", ".join(f"{file} {os.path.getmtime(file)}" for file in files if file is not None)


def _vae_decode(model: comfy.model_patcher.ModelPatcher, vae: comfy.sd.VAE):
    first_stage: Any = vae.first_stage_model

    def decode(latents: torch.Tensor) -> torch.Tensor:
        # After each load the weights may be inference tensors again; where they are not, this costs microseconds.
        make_differentiable(first_stage)
        latents = model.model.process_latent_out(latents).to(vae.device, vae.vae_dtype)
        pictures = vae.process_output(first_stage.decode(latents).float())
        return pictures[:, :3].to(latents.device)

    return decode


def _tiny_file(model: comfy.model_patcher.ModelPatcher) -> str | None:
    name = model.model.latent_format.taesd_decoder_name
    if name is None:
        return None
    found = [file for file in folder_paths.get_filename_list("vae_approx") if file.startswith(name)]
    return folder_paths.get_full_path_or_raise("vae_approx", found[0]) if found else None


def _tiny_decoder(
    model: comfy.model_patcher.ModelPatcher, file: str, scale: int
) -> tuple[Decoder, comfy.model_patcher.ModelPatcher]:
    with torch.inference_mode(False):
        taesd = TAESD(None, file, latent_channels=model.model.latent_format.latent_channels)
        taesd.requires_grad_(False).eval()
        dtype = comfy.model_management.vae_dtype(comfy.model_management.vae_device())
        taesd.to(dtype)
    patcher = comfy.model_patcher.ModelPatcher(
        taesd, comfy.model_management.get_torch_device(), comfy.model_management.vae_offload_device()
    )

    def decode(latents: torch.Tensor) -> torch.Tensor:
        make_differentiable(taesd)
        pictures = taesd.decode(latents.to(patcher.load_device, dtype)).float()
        return ((pictures + 1) / 2).clamp(0, 1).to(latents.device)

    logging.debug("FairHands decodes with %s", file)
    return Decoder(decode, scale, "tiny"), patcher
