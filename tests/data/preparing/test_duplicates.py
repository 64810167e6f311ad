"""Duplicates are found as if each hash were compared with every earlier one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.data.preparing.duplicates import HashIndex, duplicates

# Hashes of few set bits, so that many are near each other.
hashes = st.lists(st.integers(0, 63), max_size=6).map(lambda bits: sum(1 << bit for bit in set(bits)))


def compared_with_all(values: list[int], distance: int) -> list[bool]:
    kept: list[int] = []
    again = []
    for value in values:
        again.append(any((value ^ other).bit_count() <= distance for other in kept))
        if not again[-1]:
            kept.append(value)
    return again


@given(st.lists(hashes, max_size=40), st.integers(0, 12))
def test_the_index_finds_what_comparing_with_all_finds(values: list[int], distance: int):
    assert duplicates(values, distance) == compared_with_all(values, distance)


@given(st.integers(0, 2**64 - 1), st.integers(1, 12), st.data())
def test_a_hash_is_near_up_to_the_distance_and_no_further(value: int, distance: int, data: st.DataObject):
    index = HashIndex(distance)
    index.add(value)
    flipped = data.draw(st.lists(st.integers(0, 63), min_size=distance + 1, max_size=distance + 1, unique=True))
    near = value ^ sum(1 << bit for bit in flipped[1:])
    assert index.has_near(near)
    assert not index.has_near(near ^ (1 << flipped[0]))


@pytest.mark.parametrize("distance", range(1, 13))
def test_bits_that_differ_as_far_apart_as_can_be_are_found(distance: int):
    index = HashIndex(distance)
    index.add(0)
    assert index.has_near(sum(1 << 64 * number // distance for number in range(distance)))


def test_the_first_of_several_that_look_alike_stays():
    assert duplicates([7, 7, 1 << 40, 7 | 1 << 40, 7], 1) == [False, True, False, True, True]
    # The second is dropped, so that the third, which only the second is like, stays.
    assert duplicates([0b0000, 0b0011, 0b1111], 2) == [False, True, False]


def test_many_hashes_are_not_compared_with_all_of_them():
    values = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64).tolist()
    again = duplicates([*values, *(value ^ 0b1001 for value in values[:50])], 4)
    assert sum(again) == 50
    assert again[-50:] == [True] * 50
