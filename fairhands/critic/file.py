"""The file of a hand discriminator: safetensors, with metadata from which its network can be built."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..weight_files import serialised
from ..weight_header import Header
from ..whole_files import write_whole
from .config import CriticConfig, Transformer
from .header import CriticFileError, read_header, refusal
from .network import Critic
from .weights import digest, fill

__all__ = ["CriticDescription", "CriticFileError", "describe", "load", "save"]

KIND = "hand_discriminator"
FORMAT = 2  # 1 had no transformers in it
HEADS, BACKBONE = "heads.", "backbone."  # what the names of the tensors begin with
LICENCE = "Apache-2.0 covers the code that made this file; the weights may carry the terms of the training data"


@dataclass(frozen=True)
class CriticDescription:
    """What a critic's file says about itself: its format, its network, and how it was trained."""

    format: int
    config: CriticConfig
    summary: dict[str, Any]
    licence: str


def save(critic: Critic, path: Path | str, summary: dict[str, Any], with_backbone: bool = True) -> None:
    """Write a critic's file, whole or not at all; the same critic and summary give the same bytes.

    Args:
        critic: the discriminator; its weights are written in the precision that they have, a transformer's in half.
        path: a name ending in .safetensors, in a folder that exists.
        summary: how the critic was trained, for people: command, seed, data, steps, held-out figures.
            Anything that JSON can hold.
        with_backbone: False leaves a transformer out, for who has it; `load` then looks for it.

    Raises:
        OSError: the file cannot be written; a file that was there before still is.
        ValueError: the backbone's weights are not those that the critic's configuration names, or
            `with_backbone` is False for a backbone that is no transformer.
    """
    config, backbone = critic.config, critic.backbone.weights()
    if config.transformer is not None:
        config = replace(config, transformer=_hashed(config.transformer, backbone))
    elif not with_backbone:
        raise ValueError(f"with_backbone should be True: the backbone {config.backbone!r} is nowhere but in this file")
    metadata = {
        "fairhands.kind": KIND,
        "fairhands.format": str(FORMAT),
        "fairhands.config": json.dumps(dataclasses.asdict(config)),
        "fairhands.summary": json.dumps(summary),
        "fairhands.licence": _licence(config),
    }
    tensors = critic.heads.state_dict(prefix=HEADS)
    if with_backbone:
        tensors |= {BACKBONE + name: tensor for name, tensor in backbone.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(Path(path), serialised(tensors, metadata))


def load(path: Path | str, backbones: Sequence[Path | str] | None = None) -> tuple[Critic, dict[str, Any]]:
    """Read a critic's file.

    Args:
        path: the file.
        backbones: folders to find the transformer in if it was left out of the file: a folder or a .safetensors
            file of its name, with `--` for `/`. None: the file's own folder, and `backbones` in it. After them
            the hub's local cache is looked into.

    Returns:
        The critic on the CPU in float32, in eval mode, its weights without gradients but able to carry a
        gradient to the pictures, also where `torch.inference_mode` is active; and its training's summary.

    Raises:
        CriticFileError: it is not such a file, or one that this version cannot use; its text says what it is.
    """
    path = Path(path)
    description = _description(path, read_header(path))
    with torch.inference_mode(False), torch.device("meta"):
        critic = _network(path, description.config)
    folders = [path.parent, path.parent / "backbones"] if backbones is None else [Path(folder) for folder in backbones]
    with torch.inference_mode(False):
        _fill(path, critic, folders)
    return critic.eval().requires_grad_(False), description.summary


def describe(path: Path | str) -> CriticDescription:
    """What a critic's file says about itself, read from its header alone.

    Raises:
        CriticFileError: it is not such a file, or of a format that this version does not know.
    """
    return _description(Path(path), read_header(Path(path)))


def _description(path: Path, header: Header) -> CriticDescription:
    metadata = header.metadata
    if metadata.get("fairhands.kind") != KIND:
        raise refusal(path, header.guess())
    found = metadata.get("fairhands.format", "")
    if not found.isdecimal() or int(found) < 1:
        raise refusal(path, f"a hand discriminator whose format, {found!r}, is not a number")
    if int(found) > FORMAT:
        raise refusal(path, f"a hand discriminator of format {found} from a newer FairHands", f"format {FORMAT}")
    try:
        config = CriticConfig(**json.loads(metadata["fairhands.config"]))
        summary = dict(json.loads(metadata["fairhands.summary"]))
    except KeyError as error:
        raise refusal(path, f"a hand discriminator without its {error} metadata") from error
    except (TypeError, ValueError) as error:
        raise refusal(path, f"a hand discriminator with unusable metadata ({error})") from error
    return CriticDescription(int(found), config, summary, metadata.get("fairhands.licence", ""))


def _network(path: Path, config: CriticConfig) -> Critic:
    try:
        return Critic(config)
    except ImportError as error:
        raise CriticFileError(f"{path} is a hand discriminator that cannot be built here, because {error}.") from error
    except (TypeError, ValueError) as error:
        raise refusal(path, f"a hand discriminator that this version cannot build ({error})") from error


def _fill(path: Path, critic: Critic, folders: Sequence[Path]) -> None:
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise refusal(path, f"a damaged file ({error})") from error
    transformer = critic.config.transformer
    backbone = _part(tensors, BACKBONE)
    if transformer is not None and not backbone:
        backbone = _found(path, transformer, folders)
    try:
        for name in tensors:
            if not name.startswith((HEADS, BACKBONE)):
                raise ValueError(f"with the unexpected tensor {name}")
        fill(critic.heads, _part(tensors, HEADS), HEADS)
        critic.backbone.fill(backbone)
    except ValueError as error:
        raise refusal(path, f"a hand discriminator {error}") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _found(path: Path, transformer: Transformer, folders: Sequence[Path]) -> Mapping[str, Tensor]:
    from .pretrained import find  # only now, because transformers takes seconds to import

    try:
        return find(transformer, folders)
    except ValueError as error:
        raise CriticFileError(f"{path} is a hand discriminator without its backbone, and {error}.") from error


def _hashed(transformer: Transformer, weights: Mapping[str, Tensor]) -> Transformer:
    """The transformer with the hash of its weights."""
    found = digest(weights)
    if transformer.sha256 not in ("", found):
        raise ValueError(
            f"the backbone's weights should be those of {transformer.name}, with the hash {transformer.sha256}, found "
            f"{found}: give them to critic.backbone.fill"
        )
    return replace(transformer, sha256=found)


def _licence(config: CriticConfig) -> str:
    if config.transformer is None:
        return LICENCE
    from .pretrained import licence_of  # where there is a transformer, transformers is imported already

    name = config.transformer.name
    return f"{LICENCE}; licence of the backbone {name}: {licence_of(name)}"
