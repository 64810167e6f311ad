"""Studio pictures of mannequin hands, and figures, as tensors, drawn in parallel."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..data.mannequin import STUDIO_KINDS, draw

PICTURE_SIZE = 128
FIGURE_SIZE = 256
_DRAWN_AT_ONCE = 50


class Pictures(NamedTuple):
    """Pictures, uint8 [N, 3, S, S], and the places of their kinds in `STUDIO_KINDS`, int64 [N]."""

    pictures: Tensor
    kinds: Tensor


class _Drawn(Dataset[tuple[Tensor, int]]):
    def __init__(self, first_seed: int, count: int, size: int, kind: str | None, body: bool, right: float) -> None:
        self.first_seed = first_seed
        self.count = count
        self.size = size
        self.kind = kind
        self.body = body
        self.right = right

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        seed = self.first_seed + number
        drawn = draw(seed, self.size, kind=self.kind, body=self.body, studio=True, right=self.right)
        return torch.from_numpy(drawn.picture).permute(2, 0, 1).contiguous(), STUDIO_KINDS.index(drawn.kind[0])


def draw_pictures(
    first_seed: int,
    count: int,
    size: int = PICTURE_SIZE,
    workers: int = 2,
    kind: str | None = None,
    body: bool = False,
    right: float = 0.5,
) -> Pictures:
    """The pictures of `count` seeds from `first_seed` on; the same ones for the same arguments.

    Args:
        first_seed: the seed of the first.
        count: how many.
        size: their sides in pixels.
        workers: processes that draw.
        kind: one of `STUDIO_KINDS` for all hands, or None for any.
        body: figures rather than hands alone.
        right: share of right hands where the kind is any, in 0..1.
    """
    drawn = _Drawn(first_seed, count, size, kind, body, right)
    loader = DataLoader(drawn, batch_size=_DRAWN_AT_ONCE, num_workers=workers)
    pictures = torch.empty((count, 3, size, size), dtype=torch.uint8)
    kinds = torch.empty(count, dtype=torch.int64)
    for number, (shown, places) in enumerate(tqdm(loader, desc="drawing hands", unit="batch")):
        start = number * _DRAWN_AT_ONCE
        pictures[start : start + len(shown)] = shown
        kinds[start : start + len(shown)] = places
    return Pictures(pictures, kinds)
