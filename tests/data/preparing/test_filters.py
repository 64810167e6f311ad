"""Filters drop what is beyond their threshold, and say why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.data.preparing import filters
from fairhands.data.preparing.filters import DUPLICATE, Filter, Filtered, filtered, without_duplicates
from fairhands.data.preparing.records import Crop
from fairhands.data.preparing.settings import FilterSettings

CROP = Crop(
    *("a.webp", "0" * 64, "key", "picture", "pair", "real", "a.jpg"),
    *(200, 100, (20.0, 30.0, 40.0, 50.0), (80.0, 80.0, 128.0, 160.0)),
    *(0.8, 100.0, 12345),
)
OFF = {name: 0 for name in FilterSettings.model_fields}
crops = st.builds(
    lambda x, y, width, height, score, sharpness, look: replace(
        CROP, box=(x, y, width, height), score=score, sharpness=sharpness, hash=look
    ),
    *(st.floats(0, 150), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)),
    *(st.none() | st.floats(0, 1), st.floats(0, 500), st.integers(0, 15)),
)


def parted(crops: list[Crop], chosen: list[Filter[Crop]], distance: int) -> Filtered[Crop]:
    """Crops after filters and after the search for duplicates."""
    return without_duplicates(filtered(crops, chosen), lambda crop: crop.hash, distance)


def only(**chosen: float) -> FilterSettings:
    """Those filters and no others."""
    return FilterSettings(**{**OFF, **chosen})


def test_the_figures_of_a_crop_are_what_they_say():
    assert filters.side(CROP) == 40
    assert filters.share(CROP) == pytest.approx(0.1)
    assert (filters.score(CROP), filters.sharpness(CROP)) == (0.8, 100)


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((20, 30, 40, 50), 0),
        ((0, 30, 40, 40), 0.25),
        ((160, 30, 40, 40), 0.25),
        ((0.9, 60, 40, 39.5), 0.5),
        ((0, 0, 200, 100), 1),
        ((0, 0, 10, 30), 0.5),
        ((0, 5, 10, 30), 0.375),
    ],
)
def test_cut_is_the_share_of_the_perimeter_on_the_border(box: tuple, share: float):
    assert filters.cut(replace(CROP, box=box)) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("chosen", "reason", "figure"),
    [
        ({"least_side": 41}, "small", 40),
        ({"least_score": 0.9}, "low score", 0.8),
        ({"least_sharpness": 101}, "blurred", 100),
        ({"least_share": 0.2}, "small share", 0.1),
        ({"most_share": 0.05}, "large share", 0.1),
    ],
)
def test_each_filter_drops_beyond_its_threshold_only_and_gives_its_figure(chosen: dict, reason: str, figure: float):
    (entry,) = filtered([CROP], only(**chosen).filters()).dropped
    assert (entry.reason, entry.figure) == (reason, pytest.approx(figure))
    at_the_threshold = {name: figure for name in chosen}
    assert filtered([CROP], only(**at_the_threshold).filters()).kept == [CROP]


def test_a_hand_cut_by_the_border_is_dropped():
    cut = replace(CROP, box=(0.0, 30.0, 40.0, 50.0))
    assert filtered([CROP, cut], only(most_cut=0.2).filters()).counts() == {"kept": 1, "cut by the border": 1}


@given(st.lists(crops, max_size=12))
def test_with_all_thresholds_0_nothing_is_dropped(several: list[Crop]):
    assert parted(several, only().filters(), 0).kept == several


@given(st.lists(crops, max_size=12), st.integers(0, 3))
def test_each_crop_is_kept_or_dropped_once_and_in_order(several: list[Crop], distance: int):
    numbered = [replace(crop, key=str(number)) for number, crop in enumerate(several)]
    result = parted(numbered, only(least_side=20).filters(), distance)
    keys = [crop.key for crop in result.kept]
    assert keys == sorted(keys, key=int)
    assert sorted([*keys, *(entry.item.key for entry in result.dropped)], key=int) == [one.key for one in numbered]
    assert sum(result.counts().values()) == len(numbered)


def test_a_hand_without_a_score_is_not_dropped_for_it():
    assert filtered([replace(CROP, score=None)], only(least_score=1).filters()).counts() == {"kept": 1}


def test_what_a_filter_drops_makes_nothing_a_duplicate():
    blurred = replace(CROP, sharpness=1.0)
    blur = Filter("blurred", filters.sharpness, 15, is_least=True)
    result = parted([blurred, CROP, CROP], [blur], 4)
    assert [entry.reason for entry in result.dropped] == ["blurred", DUPLICATE]
    assert result.kept == [CROP]
