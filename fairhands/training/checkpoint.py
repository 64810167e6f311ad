"""What a trainer resumes from: one file, written whole or not at all."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..whole_files import opened_whole


class CheckpointError(ValueError):
    """A checkpoint that cannot be resumed from; its text says why and what would do."""


def save(path: Path, **state: Any) -> None:
    """Write plain values and tensors, by name."""
    with opened_whole(path) as file:
        torch.save(state, file)


def load(path: Path, device: torch.device | str) -> dict[str, Any] | None:
    """What was saved there; None where there is no such file.

    Raises:
        CheckpointError: the file holds something else.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of a trainer: delete it to start anew.") from error


def cached(path: Path, made_of: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `make` gives, made once and kept in a file for as long as `made_of` stays the same.

    Raises:
        CheckpointError: the file holds something else.
    """
    state = load(path, "cpu")
    if state is None or state.get("made_of") != made_of:
        state = {"made_of": made_of, "tensors": make()}
        save(path, **state)
    return state["tensors"]
