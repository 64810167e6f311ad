"""Weight files of the mannequin world: safetensors in half precision that say what they are and what made them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .whole_files import write_whole


class WeightFileError(ValueError):
    """A file that does not hold what was wanted; its text says what was found and where a right one comes from."""


def write_weights(path: Path, kind: str, weights: Mapping[str, Tensor], made_by: dict[str, Any]) -> None:
    """Write weights in half precision.

    Args:
        path: the file.
        kind: what the weights are, for `read_weights` to check.
        weights: by name.
        made_by: the command, seed and data that made them; plain values.
    """
    halves = {name: weight.detach().cpu().half().contiguous() for name, weight in weights.items()}
    write_whole(path, save(halves, {"kind": kind, "made_by": json.dumps(made_by)}))


def read_weights(path: Path, kind: str, trainer: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a file in single precision, and what made them.

    Args:
        path: the file.
        kind: what the weights should be.
        trainer: the program that writes such files, for messages.

    Raises:
        WeightFileError: the file is missing, damaged, or holds something else.
    """
    source = f"a {kind} is written by `{trainer}`."
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            names: list[str] = list(file.keys())
            weights = {name: file.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"{path} cannot be read as safetensors ({error}); {source}") from error
    if metadata.get("kind") != kind:
        raise WeightFileError(f"{path} holds {metadata.get('kind', 'weights of another kind')}; {source}")
    return weights, json.loads(metadata["made_by"])
