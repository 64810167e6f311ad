"""A LoRA's file, as kohya's trainer writes it and ComfyUI, diffusers and others read it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..weight_files import WeightFileError, in_precision, serialised
from ..whole_files import write_whole
from .description import VERSIONS
from .lora import LoraAdapter
from .metadata import model_specification
from .settings import LoraSettings

KIND = "fairhands lora"


def save(
    adapter: LoraAdapter,
    path: Path,
    made_by: Mapping[str, Any],
    title: str | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the LoRA, whole or not at all; the same weights give the same bytes.

    Args:
        adapter: what is written, as it is now.
        path: the .safetensors file.
        made_by: the command, settings, base and steps that made it; plain values.
        title: its name for people; None: the file's.
        dtype: of the weights in the file.

    Raises:
        ValueError: a weight is not finite, or too large for the dtype; nothing is written.
        OSError: the file cannot be written.
    """
    tensors = in_precision(adapter.state_dict(), dtype)
    tensors |= {f"{name}.alpha": torch.tensor(adapter.settings.alpha) for name, _ in adapter.named_children()}
    texts = _metadata(adapter, title or path.stem) | {"made_by": json.dumps(dict(made_by))}
    write_whole(path, serialised(tensors, texts))


def load(adapter: LoraAdapter, path: Path) -> dict[str, Any]:
    """Put a file's weights into an adapter of the same shape, and give what made them.

    Raises:
        WeightFileError: the file cannot be read, or is not of such an adapter; the adapter is as it was.
    """
    tensors, texts = _read(path)
    wanted = {name: weight.shape for name, weight in adapter.state_dict().items()}
    weights = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith(".alpha")}
    for name in sorted(wanted.keys() ^ weights.keys()):
        found = "not in the file" if name in wanted else "not in the adapter"
        raise _refusal(path, f"{name} is {found}: the settings (layers, text encoders) or the base are others")
    for name, weight in weights.items():
        if weight.shape != wanted[name]:
            shapes = f"{list(weight.shape)}, expected {list(wanted[name])}"
            raise _refusal(path, f"{name} is {shapes}: the rank or the base is another")
    for name, _ in adapter.named_children():
        alpha = float(tensors[f"{name}.alpha"]) if f"{name}.alpha" in tensors else adapter.settings.rank
        if abs(alpha - adapter.settings.alpha) > 1e-3 * adapter.settings.alpha:
            raise _refusal(path, f"{name} has alpha {alpha:g}, expected {adapter.settings.alpha:g}")
    adapter.load_state_dict(weights)
    return json.loads(texts.get("made_by", "{}"))


def settings_of(path: Path) -> tuple[LoraSettings, bool]:
    """The settings that a file's LoRA was made with, and whether the text encoders have a part in it.

    Raises:
        WeightFileError: the file cannot be read, or was not written by `save`.
    """
    tensors, texts = _read(path)
    if texts.get("kind") != KIND:
        raise _refusal(path, "it was not written by a trainer of FairHands, so its settings are not known")
    return LoraSettings.model_validate_json(texts["settings"]), any(name.startswith("lora_te") for name in tensors)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"{path} cannot be read as safetensors ({error}), expected a LoRA.") from error


def _refusal(path: Path, found: str) -> WeightFileError:
    return WeightFileError(f"{path} is no LoRA for this adapter: {found}.")


def _metadata(adapter: LoraAdapter, title: str) -> dict[str, str]:
    """What kohya's trainer and Stability's model specification say of a LoRA, and the settings to read it by."""
    settings, base = adapter.settings, adapter.base
    rank, alpha = str(settings.rank), str(settings.alpha)
    convolutions = any(weight.ndim == 4 for weight in adapter.parameters())
    arguments = {"conv_dim": rank, "conv_alpha": alpha} if convolutions else {}
    return {
        "kind": KIND,
        "settings": settings.model_dump_json(),
        "ss_v2": "False",
        "ss_base_model_version": VERSIONS[base.family],
        "ss_network_module": "networks.lora",
        "ss_network_dim": rank,
        "ss_network_alpha": alpha,
        "ss_network_args": json.dumps(arguments),
    } | model_specification(base, "lora", title)
