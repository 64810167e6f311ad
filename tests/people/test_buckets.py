"""Buckets hold the pictures that they are for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.people.buckets import Buckets

SIDES = st.integers(1, 3000)


@given(SIDES, SIDES, st.sampled_from([(1024, 64), (512, 64), (128, 16), (200, 48)]), st.floats(1, 4), st.booleans())
def test_a_bucket_is_on_the_grid_and_no_larger_than_allowed(
    width: int, height: int, grid: tuple[int, int], aspect: float, enlarge: bool
) -> None:
    resolution, step = grid
    found = Buckets(resolution, step, aspect, enlarge).of(width, height)
    if found is None:
        assert not enlarge
        assert min(width, height) < step
        return
    across, down = found
    assert across % step == down % step == 0
    assert across * down <= resolution**2
    assert max(across, down) / min(across, down) <= aspect + 1e-9
    assert enlarge or (across <= width and down <= height)


@given(SIDES, SIDES, st.floats(1, 4), st.booleans())
def test_no_larger_bucket_would_do(width: int, height: int, aspect: float, enlarge: bool) -> None:
    found = Buckets(512, 64, aspect, enlarge).of(width, height)
    if found is None:
        return
    for wider, higher in ((64, 0), (0, 64), (64, 64)):
        across, down = found[0] + wider, found[1] + higher
        too_large = across * down > 512**2 or (not enlarge and (across > width or down > height))
        assert too_large or max(across, down) / min(across, down) > aspect


@given(st.integers(600, 3000), st.integers(600, 3000))
def test_it_is_the_one_nearest_in_aspect(width: int, height: int) -> None:
    buckets = Buckets(512, 64, 2.0, False)

    def distance(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1]) - math.log(width / height))

    found = buckets.of(width, height)
    assert found in buckets.all()
    assert distance(found) == min(map(distance, buckets.all()))


def test_the_buckets_of_sdxl_are_those_that_are_known() -> None:
    known = {(704, 1408), (768, 1344), (832, 1216), (896, 1152), (1024, 1024), (1152, 896), (1216, 832), (1344, 768)}
    assert known <= set(Buckets(1024, 64, 2.0, False).all())


def test_buckets_stand_upright_and_lie_alike() -> None:
    sizes = Buckets(1024, 64, 2.0, False).all()
    assert {(down, across) for across, down in sizes} == set(sizes)


def test_small_pictures_keep_about_their_size_unless_they_are_enlarged() -> None:
    assert Buckets(512, 64, 2.0, False).of(300, 210) == (256, 192)
    assert Buckets(512, 64, 2.0, True).of(300, 210) == (576, 448)
    assert Buckets(512, 64, 2.0, False).of(63, 900) is None


def test_only_squares_are_left_where_the_largest_aspect_is_one() -> None:
    assert Buckets(512, 64, 1.0, False).all() == ((512, 512),)


def test_a_resolution_below_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data.resolution is 32, expected at least 64 pixels"):
        Buckets(32, 64, 2.0, False)
