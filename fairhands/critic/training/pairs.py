"""What a critic is trained on: pairs of crops, of a right or real hand and of a malformed or generated one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...training.draw import Draw

UNKNOWN = -1
"""The kind of a malformation that nobody named, and the text of a hand without one."""

_PICKS = 2**31


class Pairs(ABC):
    """Pairs of crops by number.

    `texts` are the captions that pairs have by number; empty where there are none.
    """

    texts: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many pairs there are."""

    @property
    @abstractmethod
    def crops(self) -> int:
        """How many crops there are; a crop can be in several pairs."""

    @abstractmethod
    def crop(self, row: int) -> Tensor:
        """A crop, uint8 [3, S, S]."""

    @abstractmethod
    def rows(self, pair: int, pick: int) -> tuple[int, int]:
        """The crops of a pair, the right hand's first; `pick`, any number from 0, chooses where there are several."""

    def is_estimate(self, pair: int) -> bool:
        """Whether it shows a base model's estimates under noise, not finished pictures."""
        return False

    def kind(self, pair: int) -> int:
        """The kind of malformation, its place in `MALFORMED`, or `UNKNOWN`."""
        return UNKNOWN

    def text(self, pair: int) -> int:
        """The place of the caption in `texts`, or `UNKNOWN`."""
        return UNKNOWN


class DrawnPairs(Pairs):
    """Pairs in memory whose malformations are known: uint8 [P, 2, 3, S, S], the right hand first, and kinds [P]."""

    def __init__(self, pairs: Tensor, kinds: Tensor) -> None:
        self.pairs = pairs
        self.kinds = kinds

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def crops(self) -> int:
        return 2 * len(self.pairs)

    def crop(self, row: int) -> Tensor:
        return self.pairs[row // 2, row % 2]

    def rows(self, pair: int, pick: int) -> tuple[int, int]:
        return 2 * pair, 2 * pair + 1

    def kind(self, pair: int) -> int:
        return int(self.kinds[pair])


class JoinedPairs(Pairs):
    """Pairs of several sources, one after the other; those of all but the first have no texts.

    Args:
        parts: the sources.
    """

    def __init__(self, parts: Sequence[Pairs]) -> None:
        self.parts = parts
        self.texts = parts[0].texts
        self._pairs = [(part, pair) for part in range(len(parts)) for pair in range(len(parts[part]))]
        self._before = [sum(part.crops for part in parts[:number]) for number in range(len(parts))]

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def crops(self) -> int:
        return sum(part.crops for part in self.parts)

    def crop(self, row: int) -> Tensor:
        part = max(number for number, before in enumerate(self._before) if before <= row)
        return self.parts[part].crop(row - self._before[part])

    def rows(self, pair: int, pick: int) -> tuple[int, int]:
        part, number = self._pairs[pair]
        right, malformed = self.parts[part].rows(number, pick)
        return self._before[part] + right, self._before[part] + malformed

    def is_estimate(self, pair: int) -> bool:
        part, number = self._pairs[pair]
        return self.parts[part].is_estimate(number)

    def kind(self, pair: int) -> int:
        part, number = self._pairs[pair]
        return self.parts[part].kind(number)

    def text(self, pair: int) -> int:
        part, number = self._pairs[pair]
        return self.parts[part].text(number) if part == 0 else UNKNOWN


class Chosen(NamedTuple):
    """Some pairs: what is looked at, [P, 2, ...], crops or their cached features; kinds [P]; texts [P]."""

    seen: Tensor
    kinds: Tensor
    texts: Tensor


class _Rows(Dataset[Chosen]):
    """Pairs by (number, pick), each with what `look` gives for its two crops."""

    def __init__(self, pairs: Pairs, features: Tensor | None) -> None:
        self.pairs = pairs
        self.features = features

    def __getitem__(self, key: tuple[int, int]) -> Chosen:
        pair, pick = key
        rows = self.pairs.rows(pair, pick)
        seen = [self.pairs.crop(row) if self.features is None else self.features[row] for row in rows]
        return Chosen(torch.stack(seen), torch.tensor(self.pairs.kind(pair)), torch.tensor(self.pairs.text(pair)))


def choose(pairs: Pairs, draw: Draw) -> list[tuple[int, int]]:
    """The pairs of a pass, (number, pick) each."""
    return list(zip(draw.integers(len(pairs)).tolist(), draw.integers(_PICKS).tolist(), strict=True))


def load(pairs: Pairs, draws: Iterable[Draw], workers: int, features: Tensor | None = None) -> Iterator[Chosen]:
    """The pairs of each pass, loaded ahead.

    Args:
        pairs: all there are.
        draws: of the passes to come.
        workers: processes that load; 0 loads when asked.
        features: cached, [crops, ...]; then these are given instead of crops.
    """
    order = (choose(pairs, draw) for draw in draws)
    pinned = torch.cuda.is_available()
    return iter(DataLoader(_Rows(pairs, features), batch_sampler=_Order(order), num_workers=workers, pin_memory=pinned))


class _Order:
    """A batch sampler that can be gone through once; the loader wants to call `iter` itself."""

    def __init__(self, order: Iterator[list[tuple[int, int]]]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.order
