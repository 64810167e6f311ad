"""Prepared hands as a trainer reads them: what `python -m trainers.prepare_hands` wrote."""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..hands.hand import Box
from .preparing.packing import FORMAT, KIND, MANIFEST, METADATA, sha256_of
from .preparing.reading import UNREADABLE
from .preparing.records import Kind

PROGRAM = "python -m trainers.prepare_hands"


class PreparedHandsError(ValueError):
    """A folder that holds no prepared hands, or a file of it that cannot be read; its text is one sentence."""


@dataclass(frozen=True)
class _Row:
    """A crop's line of metadata."""

    file_name: str
    text: str
    kind: Kind
    pair: str
    level: int
    hand: Box
    score: float | None
    source: str


class PreparedHands(Dataset[tuple[Tensor, Box]]):
    """Crops by number: a picture, uint8 [3, S, S], and the hand's box in it, x, y, width, height in pixels.

    It can be pickled, and read from several processes and threads at once.

    `kind` ("real" or "fake"), `pair`, `level` (0 for finished pictures, else the training timestep of an estimate),
    `text`, `source` and `score` have a value for each crop.

    Args:
        folder: what `python -m trainers.prepare_hands` wrote.
        check: compare the hashes of all files, which reads each of them.

    Raises:
        PreparedHandsError: the folder holds something else, or is damaged.
    """

    def __init__(self, folder: Path, check: bool = False) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        if check:
            _check_hashes(folder, self.manifest["sha256"])
        self._rows = _rows(folder / METADATA)
        self.kind = tuple(row.kind for row in self._rows)
        self.pair = tuple(row.pair for row in self._rows)
        self.level = tuple(row.level for row in self._rows)
        self.text = tuple(row.text for row in self._rows)
        self.source = tuple(row.source for row in self._rows)
        self.score = tuple(row.score for row in self._rows)
        self._shards: dict[str, dict[str, tuple[int, int]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> tuple[Tensor, Box]:
        """A crop and its hand's box. Raises PreparedHandsError, naming the file, where it cannot be read."""
        row = self._rows[number]
        try:
            with Image.open(io.BytesIO(self._content(row.file_name))) as file:
                picture = np.array(file.convert("RGB"))
        except (*UNREADABLE, tarfile.TarError, KeyError) as error:
            raise PreparedHandsError(f"{self.folder / row.file_name} cannot be read: {error}.") from error
        return torch.from_numpy(picture).permute(2, 0, 1).contiguous(), row.hand

    def _content(self, file_name: str) -> bytes:
        """A picture's file. Opened anew each time, because processes would share the place in one that stays open."""
        shard, _, name = file_name.partition(".tar/")
        if not name:
            return (self.folder / file_name).read_bytes()
        path = self.folder / f"{shard}.tar"
        if shard not in self._shards:
            self._shards[shard] = _places(path)
        start, size = self._shards[shard][name]
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where each file of a tar file begins, and its length."""
    with tarfile.open(path, "r:") as shard:
        return {entry.name: (entry.offset_data, entry.size) for entry in shard}


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PreparedHandsError(f"{folder} holds no {MANIFEST}: prepared hands are written by `{PROGRAM}`.") from None
    except (OSError, ValueError) as error:
        raise PreparedHandsError(f"{path} cannot be read ({error}): write it anew with `{PROGRAM}`.") from error
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind != KIND:
        raise PreparedHandsError(f'{path} says kind {kind!r}, expected "{KIND}" as `{PROGRAM}` writes it.')
    if manifest.get("format") != FORMAT:
        raise PreparedHandsError(
            f"{path} is of format {manifest.get('format')!r}, expected {FORMAT}: write it anew with `{PROGRAM}` "
            "of this version, or update FairHands."
        )
    return manifest


def _check_hashes(folder: Path, wanted: dict[str, str]) -> None:
    for name, digest in wanted.items():
        path = folder / name
        if not path.is_file():
            raise PreparedHandsError(f"{path} is missing: write it anew with `{PROGRAM}`.")
        if sha256_of(path) != digest:
            raise PreparedHandsError(f"{path} was changed or damaged (another hash): write it anew with `{PROGRAM}`.")


def _rows(path: Path) -> list[_Row]:
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                rows.append(_row(line, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise PreparedHandsError(f"{path} cannot be read: {error}.") from error
    return rows


def _row(line: str, place: str) -> _Row:
    try:
        row = _Row(**json.loads(line))
        x, y, width, height = (float(value) for value in row.hand)
        known = row.kind in ("real", "fake") and isinstance(row.level, int) and isinstance(row.file_name, str)
    except (TypeError, ValueError) as error:
        raise PreparedHandsError(f"{place} is broken: {error}.") from error
    if not known:
        raise PreparedHandsError(
            f"{place} is broken: kind {row.kind!r}, level {row.level!r}, file_name {row.file_name!r}."
        )
    return _Row(**{**vars(row), "hand": (x, y, width, height)})
