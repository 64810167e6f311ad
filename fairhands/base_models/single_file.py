"""SD 1.5 and SDXL from one file, in the key layout that their authors published."""

from pathlib import Path
from typing import cast

import torch
from accelerate import init_empty_weights
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ..weight_header import Header
from .kinds import AUTOENCODER, TEXT_ENCODERS, UNET, Family, refusal
from .process import Predicts
from .shapes import PREDICTIONS, Shapes
from .stable_diffusion import Networks
from .tokens import clip_tokenizer

Weights = dict[str, Tensor]
Encoder = CLIPTextModel | CLIPTextModelWithProjection

# In files, and no weights of the networks.
SPARE = ("position_ids", "logit_scale", "text_projection.weight")
PREDICTION = "modelspec.prediction_type"


def read(
    path: Path, header: Header, family: Family, shapes: Shapes, dtype: torch.dtype, predicts: Predicts | None
) -> Networks:
    """The networks in a checkpoint, in that precision; its moving averages and whatever else it holds are left out.

    Args:
        path: the file.
        header: its header.
        family: what it holds.
        shapes: the sizes of its networks, and its noise where the file does not say.
        dtype: of the weights.
        predicts: what the U-Net predicts; None: what the file or else `shapes` says.

    Raises:
        BaseModelError: the weights are not those of the networks, or cannot be read.
    """
    if len(shapes.text_encoders) != len(TEXT_ENCODERS[family]):
        raise refusal(path, f"a checkpoint of {family}, which the folder given as config is not")
    shapes = _with_prediction(shapes, header)
    unet, vae, encoders = empty_networks(shapes)
    try:
        _fill(unet, convert_ldm_unet_checkpoint(_under(path, UNET, dtype), unet.config), "U-Net")
        _fill(vae, convert_ldm_vae_checkpoint(_under(path, AUTOENCODER, dtype), vae.config), "VAE")
        for encoder, prefix in zip(encoders, TEXT_ENCODERS[family], strict=True):
            _fill(encoder, _encoder_weights(encoder, _under(path, prefix, dtype), prefix), "text encoder")
    except (SafetensorError, OSError) as error:
        raise refusal(path, f"a damaged file ({error})") from error
    except KeyError as error:  # what diffusers' conversion raises for a weight that it needs
        raise refusal(path, f"a checkpoint of {family} without the weight {error}") from error
    except _DoesNotFit as error:
        raise refusal(path, f"a checkpoint of {family} whose {error}") from error
    return Networks(unet, vae, encoders, clip_tokenizer(shapes.tokenizer), shapes.process(predicts))


def empty_networks(shapes: Shapes) -> tuple[UNet2DConditionModel, AutoencoderKL, tuple[Encoder, ...]]:
    """U-Net, VAE and text encoders with weights on the meta device."""
    first, *second = (CLIPTextConfig.from_dict(shape) for shape in shapes.text_encoders)
    with init_empty_weights():
        unet = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(shapes.unet))
        vae = cast(AutoencoderKL, AutoencoderKL.from_config(shapes.vae))
        return unet, vae, (CLIPTextModel(first), *(CLIPTextModelWithProjection(config) for config in second))


class _DoesNotFit(ValueError):
    """Weights that are not those of a network; its text says which."""


def _with_prediction(shapes: Shapes, header: Header) -> Shapes:
    """Checkpoints that predict the velocity say so in their metadata, or by a tensor that is a mark."""
    named = header.metadata.get(PREDICTION)
    if named in PREDICTIONS:
        shapes = shapes.scheduled(prediction_type=named)
    if "v_pred" in header.shapes:
        shapes = shapes.scheduled(prediction_type="v_prediction")
    return shapes.scheduled(rescale_betas_zero_snr=True) if "ztsnr" in header.shapes else shapes


def _under(path: Path, prefix: str, dtype: torch.dtype) -> Weights:
    """The tensors of one network; each is brought to the precision as it is read, so that memory holds one copy."""
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name).to(dtype) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def _encoder_weights(encoder: nn.Module, weights: Weights, prefix: str) -> Weights:
    if prefix.endswith("model."):
        named = convert_open_clip_checkpoint(encoder, weights, prefix)
    else:
        named = convert_ldm_clip_checkpoint(weights)
    # transformers 5.6 dropped this part of CLIPTextModel's names; the oldest checkpoints never had it.
    plain = {name.removeprefix("text_model."): weight for name, weight in named.items()}
    if not hasattr(encoder, "text_model"):
        return plain
    return {name if name == "text_projection.weight" else f"text_model.{name}": plain[name] for name in plain}


def _fill(network: nn.Module, weights: Weights, title: str) -> None:
    """Give a network of the meta device its weights. Raises _DoesNotFit where they are not its own."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = {name: weight for name, weight in weights.items() if name in wanted or not name.endswith(SPARE)}
    for name in sorted(wanted.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else None
        if found != wanted.get(name):
            raise _DoesNotFit(f"{title} has {name} {_shape(found)}, not {_shape(wanted.get(name))}")
    network.load_state_dict(weights, assign=True)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nowhere" if shape is None else f"of shape {list(shape)}"
