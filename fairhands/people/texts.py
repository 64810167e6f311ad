"""Captions as the base model reads them, each encoded once and kept on disk.

A piece's folder holds `states.npy`, [captions, T, C], and for SDXL `pooled.npy`, [captions, P].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..base_models import BaseModel, Text
from ..base_models.encoding import encoded
from ..data.preparing.pieces import Pieces
from .arrays import Arrays, Precision, rounded, write_array

NOTHING = ""
CAPTIONS_IN_PIECE = 256
STATES = "states.npy"
POOLED = "pooled.npy"


class Captions:
    """The encoded captions, and the empty one.

    Args:
        captions: in any order, perhaps several times.
        pieces: where they are kept.
    """

    def __init__(self, captions: Iterable[str], pieces: Pieces) -> None:
        self._every = list(dict.fromkeys([NOTHING, *captions]))
        self._numbers = {caption: number for number, caption in enumerate(self._every)}
        self._pieces = pieces
        self._arrays = Arrays()

    def encode(self, base: BaseModel, precision: Precision) -> None:
        """Make this process's pieces; the base's text encoders are not needed afterwards.

        Raises:
            OSError: the disk is full or not writable; nothing of the piece is left.
            ValueError: the base model does not know a caption.
        """
        make = partial(_encode_piece, base=base, precision=precision)
        self._pieces.make("encoding captions", self._every, str, make)

    def of(self, captions: Sequence[str], sizes: Tensor) -> Text:
        """The captions in their order, float32, once all processes made their pieces.

        Args:
            captions: N of them.
            sizes: of their pictures, [N, 6], for families that ask for them.
        """
        places = [divmod(self._numbers[caption], self._pieces.size) for caption in captions]
        states = self._rows(STATES, places)
        if not self._file(POOLED, 0).is_file():
            return Text(states)
        return Text(states, self._rows(POOLED, places), sizes)

    def _rows(self, name: str, places: Sequence[tuple[int, int]]) -> Tensor:
        return torch.stack([self._arrays.row(self._file(name, piece), row) for piece, row in places])

    def _file(self, name: str, piece: int) -> Path:
        return self._pieces.folder / f"{piece:06}" / name


def _encode_piece(captions: Sequence[str], folder: Path, base: BaseModel, precision: Precision) -> None:
    text = encoded(base, captions)
    for name, values in ((STATES, text.states), (POOLED, text.pooled)):
        if values is not None:
            write_array(folder / name, rounded(values.float().cpu().numpy(), precision))
