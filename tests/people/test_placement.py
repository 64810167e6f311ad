"""One map brings picture, masks and boxes into a bucket."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairhands.hands.hand import Box
from fairhands.people.masks import box_mask
from fairhands.people.placement import Placement, placement

SIDES = st.integers(16, 300)
STEPS = st.integers(2, 20)


@given(SIDES, SIDES, STEPS, STEPS)
def test_the_picture_covers_its_bucket_and_no_more_than_it_must(
    width: int, height: int, across: int, down: int
) -> None:
    bucket = 8 * across, 8 * down
    placed = placement((width, height), bucket)
    over = [whole - part for whole, part in zip(placed.resized, bucket, strict=True)]
    assert min(over) == 0
    assert (placed.left, placed.top) == (over[0] // 2, over[1] // 2)
    scale = max(bucket[0] / width, bucket[1] / height)
    assert abs(placed.resized[0] - width * scale) <= 1
    assert abs(placed.resized[1] - height * scale) <= 1


@given(SIDES, SIDES, STEPS, STEPS, st.tuples(*[st.floats(0, 0.9)] * 2, *[st.floats(0.01, 1)] * 2))
def test_a_region_that_fits_lies_inside_of_the_crop(
    width: int, height: int, across: int, down: int, shares: Box
) -> None:
    x, y, w, h = shares
    box = x * width, y * height, w * (1 - x) * width, h * (1 - y) * height
    placed = placement((width, height), (8 * across, 8 * down), [box])
    left, right = placed.across(np.array([box[0], box[0] + box[2]]))
    top, bottom = placed.down(np.array([box[1], box[1] + box[3]]))
    for low, high, side in ((left, right, 8 * across), (top, bottom, 8 * down)):
        if high - low <= side - 1:  # the crop begins at whole pixels
            assert low >= -1e-6
            assert high <= side + 1e-6


def test_the_crop_stays_in_the_middle_as_far_as_regions_let_it() -> None:
    assert placement((300, 100), (100, 100)).left == 100
    assert placement((300, 100), (100, 100), [(120, 0, 50, 50)]).left == 100
    assert placement((300, 100), (100, 100), [(190, 0, 50, 50)]).left == 140
    assert placement((300, 100), (100, 100), [(10, 0, 50, 50)]).left == 10


def test_of_regions_that_do_not_fit_together_most_are_kept() -> None:
    hands: list[Box] = [(0, 10, 20, 20), (250, 10, 20, 20), (275, 10, 20, 20)]
    assert placement((300, 100), (100, 100), hands).left == 195
    assert placement((300, 100), (100, 100), [(0, 0, 300, 100)]).left == 100


@given(SIDES, SIDES, STEPS, STEPS, st.booleans(), st.data())
@settings(deadline=None)
def test_a_box_lies_where_the_picture_shows_it(
    width: int, height: int, across: int, down: int, flip: bool, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    box = x, y, data.draw(st.integers(4, width - x)), data.draw(st.integers(4, height - y))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y : y + box[3], x : x + box[2]] = 255
    placed = placement((width, height), (8 * across, 8 * down), [box])
    placed = placed.mirrored() if flip else placed
    shown = placed.placed(pixels)
    assert shown.shape == (8 * down, 8 * across, 3)
    in_cells = shown[..., 0].reshape(down, 8, across, 8).mean(axis=(1, 3)) / 255
    enlarged = placed.resized[0] > width or placed.resized[1] > height
    np.testing.assert_allclose(in_cells, box_mask([box], placed, 8), atol=0.3 if enlarged else 0.02)


def test_pictures_are_shrunk_by_area() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    placed = placement((200, 120), (80, 48))
    expected = pixels.repeat(2, 0).repeat(2, 1).reshape(48, 5, 80, 5, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(placed.placed(pixels).astype(float), expected, atol=0.51)


def test_a_picture_of_the_buckets_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    placed = placement((80, 64), (80, 64))
    assert (placed.placed(pixels) == pixels).all()
    assert (placed.mirrored().placed(pixels) == pixels[:, ::-1]).all()
    assert placed.mirrored().mirrored() == placed


def test_sdxls_sizes_say_where_the_crop_lies_as_it_is_shown() -> None:
    placed = placement((300, 100), (104, 104), [(0, 0, 20, 20)])
    assert placed.sizes == (100, 300, 0, 0, 104, 104)
    assert placed.mirrored().sizes == (100, 300, 0, 312 - 104, 104, 104)


@pytest.mark.parametrize("flip", [False, True])
def test_a_placement_comes_back_from_json(flip: bool) -> None:
    placed = Placement((300, 100), (312, 104), 7, 0, (104, 104), flip)
    assert Placement.of(json.loads(json.dumps(asdict(placed)))) == placed
