"""Safetensors files with the same bytes for the same weights; those of the mannequin world say what made them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .whole_files import write_whole

LENGTH = 8  # bytes of the number a file begins with, its header's length; data is aligned to as many


class WeightFileError(ValueError):
    """A file that does not hold what was wanted; its text says what was found and where a right one comes from."""


def serialised(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file, always the same for the same tensors and texts."""
    return b"".join(pieces(tensors, metadata))


def pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """The same in two pieces, to be written one after the other, so that large files are in memory but once.

    The safetensors library writes the texts in any order, so the header is written anew in alphabetical order.
    """
    content = save(dict(tensors), dict(metadata))
    length = int.from_bytes(content[:LENGTH], "little")
    entries = json.loads(content[LENGTH : LENGTH + length])
    header = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % LENGTH)
    return len(header).to_bytes(LENGTH, "little") + header, memoryview(content)[LENGTH + length :]


def in_precision(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights on the processor in the precision that they are written in.

    Raises:
        ValueError: one is not finite, or too large for the dtype.
    """
    tensors = {name: weight.detach().to("cpu", dtype).contiguous() for name, weight in weights.items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} should be finite in {dtype}, found a number that is not: the file is not written")
    return tensors


def write_weights(path: Path, kind: str, weights: Mapping[str, Tensor], made_by: dict[str, Any]) -> None:
    """Write weights in half precision.

    Args:
        path: the file.
        kind: what the weights are, for `read_weights` to check.
        weights: by name.
        made_by: the command, seed and data that made them; plain values.
    """
    halves = {name: weight.detach().cpu().half().contiguous() for name, weight in weights.items()}
    write_whole(path, serialised(halves, {"kind": kind, "made_by": json.dumps(made_by)}))


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
