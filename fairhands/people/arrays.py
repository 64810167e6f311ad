"""Arrays in files: written whole, read by mapping them into memory."""

from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..whole_files import write_whole

Precision = Literal["fp16", "fp32"]

DTYPES: Mapping[Precision, type[np.floating[Any]]] = {"fp16": np.float16, "fp32": np.float32}


def rounded(values: np.ndarray, precision: Precision) -> np.ndarray:
    """Values in the precision that they are kept in; infinite where they are too large for it."""
    with np.errstate(over="ignore"):
        return values.astype(DTYPES[precision])


def write_array(path: Path, values: np.ndarray) -> None:
    """Write an array as a .npy file.

    Raises:
        OSError: the disk is full or not writable; nothing is left.
    """
    content = BytesIO()  # np.save says of a file on a full disk how many bytes it wrote, and not why no more
    np.save(content, values)
    write_whole(path, content.getvalue())


class Arrays:
    """Reads rows of .npy files, which stay mapped into memory; only the rows asked for are read from the disk."""

    def __init__(self) -> None:
        self._mapped = cache(_mapped)

    def row(self, path: Path, *place: int) -> Tensor:
        """What a file holds at a place of its first dimensions, float32, in its own memory."""
        return torch.from_numpy(self._mapped(path)[place].astype(np.float32))


def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")
