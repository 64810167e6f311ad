"""A ControlNet's or T2I-Adapter's file: diffusers' names in one file, which ComfyUI, Forge and diffusers read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..base_models import BaseModel
from ..base_models.folder import network
from ..weight_files import WeightFileError, in_precision, pieces
from ..weight_header import HeaderError, read_header
from ..whole_files import opened_whole
from .control import Control
from .controlnet import ControlNet
from .metadata import model_specification
from .t2i_adapter import T2IAdapter

# ComfyUI averages over the picture what a ControlNet adds whose file's name ends so.
AVERAGED = ("_shuffle", "_shuffle_fp16")

Kind = TypeVar("Kind", bound=Control)


def save(
    control: Control,
    path: Path,
    made_by: Mapping[str, Any],
    conditioning: str,
    title: str | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the network, whole or not at all; the same weights give the same bytes.

    Args:
        control: what is written, as it is now.
        path: the .safetensors file.
        made_by: the command, settings, base and steps that made it; plain values.
        conditioning: what its pictures show, such as "pose".
        title: its name for people; None: the file's.
        dtype: of the weights in the file.

    Raises:
        ValueError: a weight is not finite, or too large for the dtype, or ComfyUI would read a file of that name
            otherwise; nothing is written.
        OSError: the file cannot be written.
    """
    if path.stem.endswith(AVERAGED):
        raise ValueError(f"{path.name} should not end in _shuffle, by which ComfyUI knows another kind of ControlNet.")
    texts = {
        "kind": control.kind,
        "conditioning": conditioning,
        "base_family": control.base.family,
        "made_by": json.dumps(dict(made_by)),
    } | model_specification(control.base, control.architecture, title or path.stem)
    with opened_whole(path) as file:
        file.writelines(pieces(in_precision(control.network.state_dict(), dtype), texts))


def read(kind: type[Kind], base: BaseModel, path: Path) -> Kind:
    """A network from a file in diffusers' layout (a ControlNet for SD 1.5 also in its authors'), or diffusers' folder.

    Args:
        kind: what it should be.
        base: what it is for.
        path: the .safetensors file, or the folder, which may be of a smaller ControlNet than the base's encoder.

    Raises:
        WeightFileError: there is none that goes with the base; its text says what there is.
        BaseModelError: the folder is damaged.
        ValueError: the base has no U-Net.
    """
    wanted = kind.empty(base)
    if not path.is_dir():
        _fill(wanted, _weights(path, wanted), kind, base, path)
        return kind(base, wanted)
    found = network(cast(type[ControlNetModel], type(wanted)), path, torch.float32)
    for name, shape in _seams(wanted).items():
        if _seams(found).get(name) != shape:
            raise _refusal(path, kind, base, f"{name} is {_seams(found).get(name)} there, expected {shape}")
    return kind(base, found)


def _weights(path: Path, wanted: ModelMixin) -> dict[str, Tensor]:
    """The tensors of a file in single precision, by diffusers' names."""
    try:
        header = read_header(path)
        weights = load_file(path)
    except HeaderError as error:
        raise WeightFileError(f"{path} is {error}, expected a {_title(wanted)} in safetensors.") from error
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"{path} cannot be read ({error}), expected a {_title(wanted)}.") from error
    if header.guess() != f"a {_title(wanted)}" or "lora_controlnet" in weights:
        raise WeightFileError(f"{path} is {header.guess()}, expected a {_title(wanted)}.")
    if "difference" in weights:
        raise WeightFileError(f"{path} holds differences from its own base, expected a whole ControlNet.")
    if isinstance(wanted, ControlNetModel):
        weights = _in_diffusers_layout(path, weights, wanted)
    elif not any(name.startswith("adapter.") for name in weights):
        raise WeightFileError(f"{path} is a T2I-Adapter in its authors' layout, expected diffusers'.")
    return {name: weight.float() for name, weight in weights.items() if weight is not None}


def _in_diffusers_layout(path: Path, weights: dict[str, Tensor], wanted: ControlNetModel) -> dict[str, Tensor]:
    try:
        return convert_controlnet_checkpoint(weights, wanted.config)
    except KeyError as error:  # what diffusers' conversion raises for a weight that it needs
        raise WeightFileError(f"{path} is a ControlNet in its authors' layout without the weight {error}.") from error


def _fill(network: ModelMixin, weights: Mapping[str, Tensor], kind: type[Control], base: BaseModel, path: Path) -> None:
    """Give a network without values its weights."""
    wanted = {name: list(weight.shape) for name, weight in network.state_dict().items()}
    found = {name: list(weight.shape) for name, weight in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            there, here = found.get(name, "not"), wanted.get(name, "nothing")
            raise _refusal(path, kind, base, f"{name} is {there} there, expected {here}")
    network.load_state_dict(weights, assign=True)


def _seams(network: ModelMixin) -> dict[str, Any]:
    """What of a network's configuration has to fit the base."""
    config: dict[str, Any] = dict(network.config)
    if isinstance(network, ControlNetModel):
        names = ("in_channels", "conditioning_channels", "block_out_channels", "layers_per_block")
        names += ("cross_attention_dim", "addition_embed_type", "projection_class_embeddings_input_dim")
        names += ("controlnet_conditioning_channel_order", "global_pool_conditions")
    else:
        names = ("in_channels", "channels", "downscale_factor", "adapter_type")
    return {name: list(config[name]) if isinstance(config[name], (tuple, list)) else config[name] for name in names}


def _title(network: ModelMixin) -> str:
    return ControlNet.title if isinstance(network, ControlNetModel) else T2IAdapter.title


def _refusal(path: Path, kind: type[Control], base: BaseModel, found: str) -> WeightFileError:
    return WeightFileError(f"{path} is no {kind.title} for this base ({base.family}): {found}.")
