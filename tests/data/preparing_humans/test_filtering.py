"""Boxes are filtered first, then pictures with what is left of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.data.preparing_humans.filtering import choose
from fairhands.data.preparing_humans.records import FACE, HAND, Made, Part, Seen
from fairhands.data.preparing_humans.settings import FilterSettings, PartFilters

OFF = PartFilters(least_side=0, least_score=0, most_cut=0)
LARGE, SMALL, CUT = (20.0, 20.0, 50.0, 40.0), (20.0, 20.0, 10.0, 40.0), (0.0, 0.0, 50.0, 40.0)


def settings(**more) -> FilterSettings:
    values = {"least_side": 0, "least_sharpness": 0, "duplicates": 0, "faces": OFF, "hands": OFF}
    return FilterSettings(**{**values, **more})


def test_a_small_hand_costs_its_box_and_not_the_picture(make_seen: Callable[..., Seen]):
    seen = make_seen(boxes={FACE: [LARGE], HAND: [SMALL, LARGE]})
    chosen = choose([seen], settings(hands=PartFilters(least_side=11)))
    (kept,) = chosen.pictures.kept
    assert kept.boxes(HAND) == kept.boxes(FACE) == (LARGE,)
    assert chosen.counts() == {"faces": {"kept": 1}, "hands": {"kept": 1, "small": 1}, "kept pictures": {"kept": 1}}
    (dropped,) = chosen.dropped()
    assert isinstance(dropped.item, Part)
    assert (dropped.item.box, dropped.reason, dropped.figure) == (SMALL, "small", 10)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (PartFilters(least_share=0.2), "small share"),
        (PartFilters(least_score=0.95), "low score"),
        (PartFilters(least_sharpness=101), "blurred"),
        (PartFilters(most_cut=0.4), "cut by the border"),
    ],
)
def test_each_filter_of_boxes_drops_for_its_reason(table: PartFilters, reason: str, make_seen: Callable[..., Seen]):
    chosen = choose([make_seen(boxes={FACE: [CUT], HAND: [CUT]})], settings(needs="nothing", faces=table))
    assert chosen.parts[FACE].counts() == {"kept": 0, reason: 1}
    assert chosen.parts[HAND].counts() == {"kept": 1}
    assert chosen.pictures.kept[0].regions == (HAND,)


@pytest.mark.parametrize(
    ("needs", "kept"), [("nothing", "none face hand both"), ("either", "face hand both"), ("both", "both")]
)
def test_pictures_without_face_or_hand_are_kept_as_chosen(needs: str, kept: str, make_seen: Callable[..., Seen]):
    boxes = {"none": {}, "face": {FACE: [LARGE]}, "hand": {HAND: [LARGE]}, "both": {FACE: [LARGE], HAND: [LARGE]}}
    pictures = [make_seen(name, some) for name, some in boxes.items()]
    chosen = choose(pictures, settings(needs=needs)).pictures
    assert [seen.picture.pair for seen in chosen.kept] == kept.split()


def test_small_blurred_and_alike_pictures_are_dropped_with_their_figures(make_seen: Callable[..., Seen]):
    boxes = {HAND: [LARGE]}
    pictures = [
        make_seen("small", boxes, width=50),
        make_seen("blurred", boxes, sharpness=1.0),
        make_seen("first", boxes, hash=0b1111),
        make_seen("again", boxes, hash=0b1101),
        make_seen("other", boxes, hash=0b1100),
    ]
    result = choose(pictures, settings(least_side=60, least_sharpness=2, duplicates=1)).pictures
    assert [seen.picture.pair for seen in result.kept] == ["first", "other"]
    assert [(entry.reason, entry.figure) for entry in result.dropped] == [
        ("small", 50),
        ("blurred", 1.0),
        ("duplicate", None),
    ]


def test_a_mask_stays_as_long_as_a_part_of_it_does(make_seen: Callable[..., Seen]):
    masks = {HAND: Made(Path("mask.png"), "0")}
    strict = settings(needs="nothing", hands=PartFilters(least_side=11))
    for boxes, left in (([SMALL, LARGE], masks), ([SMALL], {}), ([], {})):
        (kept,) = choose([make_seen(boxes={HAND: boxes}, masks=masks)], strict).pictures.kept
        assert kept.masks == left


@given(st.lists(st.tuples(st.sampled_from((FACE, HAND)), st.sampled_from((LARGE, SMALL, CUT))), max_size=8))
def test_no_box_is_lost_or_counted_twice(parts: list):
    boxed = tuple(Part(region, box, None, 1.0, 120, 100, Path("a.png")) for region, box in parts)
    seen = Seen(None, 120, 100, 1.0, 0, boxed)  # type: ignore[arg-type]
    chosen = choose([seen], settings(needs="nothing", hands=PartFilters(), faces=PartFilters()))
    assert sum(sum(chosen.counts()[f"{region}s"].values()) for region in (FACE, HAND)) == len(boxed)
    kept = [part for part in boxed if any(part is one for one in chosen.pictures.kept[0].parts)]
    assert list(chosen.pictures.kept[0].parts) == kept
