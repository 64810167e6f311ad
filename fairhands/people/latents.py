"""Latents and latent masks of pictures, encoded once and kept on disk, in pieces that a killed run does not lose.

A piece's folder holds `latents_WxH.npy`, [pictures, flips, C, h, w], and `masks_WxH.npy`, [masks, flips, h, w], for
each bucket W x H among its pictures, and a row for each usable picture that says where its latents and masks are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base_models import BaseModel
from ..data.preparing.pieces import Pieces
from ..data.preparing.records import rows_of, write_piece
from ..data.problems import Problems
from ..data.sources.faults import Fault
from .arrays import Precision, rounded, write_array
from .buckets import Size
from .item import Item
from .masks import boxes_of_mask, picture_mask
from .placement import Placement, placement
from .reading import read_mask, read_sized

PICTURES_IN_PIECE = 32
PIXELS_AT_ONCE = 1024**2  # that the autoencoder is given; more would not fit on the smallest cards

OVERFLOW = (
    "overflow",
    "the base model's autoencoder gives numbers that are not finite, or too large for data.precision",
)


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded.

    Args:
        base: whose autoencoder encodes them, to the mean of its distribution.
        flip: whether the mirrored picture is kept as well.
        precision: of what is kept: fp16 or fp32.
        workers: threads that read pictures.
    """

    base: BaseModel
    flip: bool
    precision: Precision
    workers: int


@dataclass(frozen=True, eq=False)
class Kept:
    """A usable picture, and where its latents are.

    Args:
        item: the picture.
        placement: in its bucket, not mirrored.
        latents: file and row.
        masks: by region, file and row of the masks that are no boxes; a region that its mask does not show is missing.
    """

    item: Item
    placement: Placement
    latents: tuple[Path, int]
    masks: Mapping[str, tuple[Path, int]]


@dataclass(frozen=True)
class _Read:
    """A picture as it is encoded: for each flip uint8 [H, W, 3], and by region the masks, float32 [h, w]."""

    item: Item
    placement: Placement
    pictures: Sequence[np.ndarray]
    masks: Mapping[str, Sequence[np.ndarray]]


def encode(items: Sequence[Item], encoding: Encoding, pieces: Pieces) -> None:
    """Make this process's pieces of the items, but for those that are there already.

    Raises:
        OSError: the disk is full or not writable; nothing of the piece is left.
    """
    pieces.make("encoding pictures", items, Item.described, partial(_encode_piece, encoding=encoding))


def kept(items: Sequence[Item], pieces: Pieces, problems: Problems) -> list[Kept]:
    """The usable ones of the items, all of which were encoded in those pieces; the others' faults are noted."""
    found = []
    for folder, row in rows_of(pieces):
        item = items[int(folder.name) * pieces.size + row["at"]]
        if "fault" in row:
            Fault(*row["fault"]).note(problems, item.place)
            continue
        masks = {region: (_file(folder, "masks", item.bucket), place) for region, place in row["masks"].items()}
        latents = _file(folder, "latents", item.bucket), row["latents"]
        found.append(Kept(item, Placement.of(row["placement"]), latents, masks))
    return found


def _file(folder: Path, what: str, bucket: Size) -> Path:
    return folder / f"{what}_{bucket[0]}x{bucket[1]}.npy"


def _encode_piece(items: Sequence[Item], folder: Path, encoding: Encoding) -> None:
    rows: list[dict[str, Any]] = []
    by_bucket: dict[Size, list[tuple[int, _Read]]] = defaultdict(list)
    with ThreadPoolExecutor(encoding.workers) as threads:
        for number, read in enumerate(threads.map(partial(_read_or_fault, encoding=encoding), items)):
            if isinstance(read, Fault):
                rows.append({"at": number, "fault": [read.kind, read.what]})
            else:
                by_bucket[read.item.bucket].append((number, read))
    for bucket, some in by_bucket.items():
        rows += _encode_bucket(bucket, some, folder, encoding)
    write_piece(folder, sorted(rows, key=lambda row: row["at"]), Problems())


def _read_or_fault(item: Item, encoding: Encoding) -> _Read | Fault:
    """A picture with its masks, all through one placement."""
    try:
        pixels = read_sized(item.file(item.line.file_name), item.size)
        masks = {region: read_mask(item.file(name), item.size) for region, name in item.line.masks.items()}
    except Fault as fault:
        return fault
    around = [box for mask in masks.values() for box in boxes_of_mask(mask)]
    upright = placement(item.size, item.bucket, [*item.boxes, *around])
    ways = (upright, upright.mirrored()) if encoding.flip else (upright,)
    cells = encoding.base.cells
    in_cells = {region: [picture_mask(mask, way, cells) for way in ways] for region, mask in masks.items()}
    shown = {region: shares for region, shares in in_cells.items() if shares[0].any()}
    return _Read(item, upright, [way.placed(pixels) for way in ways], shown)


def _encode_bucket(
    bucket: Size, some: Sequence[tuple[int, _Read]], folder: Path, encoding: Encoding
) -> Iterator[dict[str, Any]]:
    """Write the latents and masks of pictures of one size; their rows."""
    pictures = [picture for _, read in some for picture in read.pictures]
    encoded = rounded(np.concatenate(list(_latents(pictures, encoding))), encoding.precision)
    encoded = encoded.reshape(len(some), -1, *encoded.shape[1:])
    write_array(_file(folder, "latents", bucket), encoded)
    masks = [shares for _, read in some for shares in read.masks.values()]
    if masks:
        stacked = np.stack([np.stack(shares) for shares in masks])
        write_array(_file(folder, "masks", bucket), rounded(stacked, encoding.precision))
    before = 0
    for row, (number, read) in enumerate(some):
        if np.isfinite(encoded[row]).all():
            places = {region: before + place for place, region in enumerate(read.masks)}
            yield {"at": number, "placement": asdict(read.placement), "latents": row, "masks": places}
        else:
            yield {"at": number, "fault": OVERFLOW}
        before += len(read.masks)


@torch.no_grad()
def _latents(pictures: Sequence[np.ndarray], encoding: Encoding) -> Iterator[np.ndarray]:
    """Latents, float32 [n, C, h, w], of as many pictures at a time as fit."""
    at_once = max(1, PIXELS_AT_ONCE // (pictures[0].shape[0] * pictures[0].shape[1]))
    for start in range(0, len(pictures), at_once):
        group = torch.from_numpy(np.stack(pictures[start : start + at_once])).permute(0, 3, 1, 2)
        yield encoding.base.encode(group.to(encoding.base.device) / 255).cpu().numpy()
