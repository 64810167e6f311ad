"""Which of many pictures look like an earlier one, by their perceptual hashes.

Two hashes of 64 bits that differ in at most d bits agree wholly in one of d + 1 blocks of bits (the pigeonhole
principle), so that each is compared only with those that share a block with it.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

BITS = 64
FEWEST_BLOCKS = 4  # blocks of 16 bits make fewer and fuller buckets than longer ones


class HashIndex:
    """Hashes of 64 bits, to be asked whether one near another is among them.

    `distance`: in how many bits near hashes may differ, 0..63.
    """

    def __init__(self, distance: int) -> None:
        blocks = max(distance + 1, FEWEST_BLOCKS)
        edges = [BITS * number // blocks for number in range(blocks + 1)]
        self._distance = distance
        self._blocks = [(low, (1 << high - low) - 1) for low, high in pairwise(edges)]
        self._buckets: list[dict[int, _Bucket]] = [{} for _ in self._blocks]

    def has_near(self, value: int) -> bool:
        """Whether a hash that differs in at most `distance` bits was added."""
        wanted = np.uint64(value)
        for (shift, mask), buckets in zip(self._blocks, self._buckets, strict=True):
            bucket = buckets.get(value >> shift & mask)
            if bucket is not None and np.any(np.bitwise_count(bucket.hashes() ^ wanted) <= self._distance):
                return True
        return False

    def add(self, value: int) -> None:
        """Add a hash."""
        for (shift, mask), buckets in zip(self._blocks, self._buckets, strict=True):
            buckets.setdefault(value >> shift & mask, _Bucket()).append(value)


class _Bucket:
    """Hashes that share a block, in an array that doubles when it is full."""

    __slots__ = ("_array", "_count")

    def __init__(self) -> None:
        self._array = np.empty(1, np.uint64)
        self._count = 0

    def hashes(self) -> np.ndarray:
        return self._array[: self._count]

    def append(self, value: int) -> None:
        if self._count == len(self._array):
            self._array = np.concatenate([self._array, np.empty_like(self._array)])
        self._array[self._count] = value
        self._count += 1


def duplicates(hashes: Iterable[int], distance: int) -> list[bool]:
    """For each hash whether an earlier one that is no duplicate itself differs from it in at most `distance` bits.

    A million take a minute at a distance of 4.
    """
    index, found = HashIndex(distance), []
    for value in hashes:
        found.append(index.has_near(value))
        if not found[-1]:
            index.add(value)
    return found
