"""The mannequin model's file: denoiser and autoencoder in one checkpoint that ComfyUI loads."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

from ..weight_files import read_weights, write_weights
from .autoencoder import Autoencoder
from .denoiser import new_denoiser
from .layout import to_comfyui, to_diffusers

DENOISER, AUTOENCODER = "model.diffusion_model.", "first_stage_model."
KIND = "fairhands mannequin model"


class Model(NamedTuple):
    """Both networks, in single precision and evaluation mode, and what made them."""

    denoiser: SD3Transformer2DModel
    autoencoder: Autoencoder
    made_by: dict[str, Any]


def write(path: Path, denoiser: SD3Transformer2DModel, autoencoder: Autoencoder, made_by: dict[str, Any]) -> None:
    """Write both networks in half precision, with what made them as metadata."""
    named = {f"{DENOISER}{name}": weight for name, weight in to_comfyui(denoiser.state_dict()).items()}
    named |= {f"{AUTOENCODER}{name}": weight for name, weight in autoencoder.state_dict().items()}
    write_weights(path, KIND, named, made_by)


def read(path: Path) -> Model:
    """The model in a file.

    Raises:
        WeightFileError: the file is missing, damaged or of another model.
    """
    weights, made_by = read_weights(path, KIND, "python -m trainers.mannequin")
    autoencoder = Autoencoder()
    autoencoder.load_state_dict(_under(AUTOENCODER, weights))
    denoiser = new_denoiser()
    denoiser.load_state_dict(to_diffusers(_under(DENOISER, weights)))
    torch.nn.utils.convert_conv2d_weight_memory_format(autoencoder, torch.channels_last)
    return Model(denoiser.eval(), autoencoder.eval(), made_by)


def _under(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
