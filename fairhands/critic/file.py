"""The file of a hand discriminator: safetensors, with metadata from which its network can be built."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..weight_files import serialised
from ..whole_files import write_whole
from .config import CriticConfig
from .header import CriticFileError, Header, read_header, refusal
from .network import Critic

__all__ = ["CriticDescription", "CriticFileError", "describe", "load", "save"]

KIND = "hand_discriminator"
FORMAT = 1
LICENCE = "Apache-2.0 covers the code that made this file; the weights may carry the terms of the training data"


@dataclass(frozen=True)
class CriticDescription:
    """What a critic's file says about itself: its format, its network, and how it was trained."""

    format: int
    config: CriticConfig
    summary: dict[str, Any]
    licence: str


def save(critic: Critic, path: Path | str, summary: dict[str, Any]) -> None:
    """Write a critic's file, whole or not at all; the same critic and summary give the same bytes.

    Args:
        critic: the discriminator; its weights are written in the precision that they have.
        path: a name ending in .safetensors, in a folder that exists.
        summary: how the critic was trained, for people: command, seed, data, steps, held-out figures.
            Anything that JSON can hold.

    Raises:
        OSError: the file cannot be written; a file that was there before still is.
    """
    metadata = {
        "fairhands.kind": KIND,
        "fairhands.format": str(FORMAT),
        "fairhands.config": json.dumps(dataclasses.asdict(critic.config)),
        "fairhands.summary": json.dumps(summary),
        "fairhands.licence": LICENCE,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in critic.state_dict().items()}
    write_whole(Path(path), serialised(tensors, metadata))


def load(path: Path | str) -> tuple[Critic, dict[str, Any]]:
    """Read a critic's file.

    Returns:
        The critic on the CPU in float32, in eval mode, its weights without gradients but able to carry a
        gradient to the pictures, also where `torch.inference_mode` is active; and its training's summary.

    Raises:
        CriticFileError: it is not such a file, or one that this version cannot use; its text says what it is.
    """
    path = Path(path)
    header = read_header(path)
    description = _description(path, header)
    with torch.inference_mode(False), torch.device("meta"):
        critic = _network(path, description.config)
    with torch.inference_mode(False):
        tensors = _tensors(path, header, critic)
        critic.load_state_dict(tensors, assign=True)
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
    except (TypeError, ValueError) as error:
        raise refusal(path, f"a hand discriminator that this version cannot build ({error})") from error


def _tensors(path: Path, header: Header, critic: Critic) -> dict[str, Tensor]:
    wanted = {name: list(tensor.shape) for name, tensor in critic.state_dict().items()}
    for name in wanted.keys() | header.shapes.keys():
        found = header.shapes.get(name)
        if found is None:
            raise refusal(path, f"a hand discriminator without the tensor {name}")
        if name not in wanted:
            raise refusal(path, f"a hand discriminator with the unexpected tensor {name}")
        if found != wanted[name]:
            raise refusal(path, f"a hand discriminator whose tensor {name} is {found}", f"{wanted[name]}")
    try:
        tensors = {name: tensor.float() for name, tensor in safetensors.torch.load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise refusal(path, f"a damaged file ({error})") from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise refusal(path, f"a hand discriminator whose tensor {name} has values that are not finite")
    return tensors
