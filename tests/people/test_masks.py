"""Masks hold each region's area exactly, wherever it lies and however small it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairhands.hands.hand import Box, clip_box
from fairhands.people.masks import box_mask, boxes_of_mask, picture_mask, with_errors
from fairhands.people.placement import Placement, placement

CELLS = 8


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Of a picture of some size in a bucket of some other, wherever the crop lies."""
    picture = draw(st.integers(40, 200)), draw(st.integers(40, 200))
    bucket = 8 * draw(st.integers(2, 16)), 8 * draw(st.integers(2, 16))
    middle = placement(picture, bucket)
    left, top = (draw(st.integers(0, whole - part)) for whole, part in zip(middle.resized, bucket, strict=True))
    return replace(middle, left=left, top=top, flip=draw(st.booleans()))


boxes = st.lists(st.tuples(*[st.floats(-30, 220)] * 2, *[st.floats(0.01, 150)] * 2), max_size=4)


def painted(some: list[Box], placed: Placement, fine: int = 8) -> np.ndarray:
    """The masks of boxes by counting points, `fine` each way in each pixel of the bucket."""
    width, height = placed.bucket
    xs, ys = ((np.arange(side * fine) + 0.5) / fine for side in (width, height))
    inside = np.zeros((height * fine, width * fine), bool)
    for x, y, w, h in (clip_box(box, *placed.picture) for box in some):
        left, right = sorted(placed.across(np.array([x, x + w])))
        top, bottom = placed.down(np.array([y, y + h]))
        inside |= ((ys > top) & (ys < bottom))[:, None] & ((xs > left) & (xs < right))
    side = CELLS * fine
    return inside.reshape(height // CELLS, side, width // CELLS, side).mean(axis=(1, 3))


@given(placements(), boxes)
@settings(deadline=None, max_examples=40)
def test_a_cell_holds_the_share_of_it_that_boxes_cover(placed: Placement, some: list[Box]) -> None:
    found = box_mask(some, placed, CELLS)
    assert found.dtype == np.float32
    assert found.shape == (placed.bucket[1] // CELLS, placed.bucket[0] // CELLS)
    assert found.min() >= 0
    assert found.max() <= 1
    # Counting points errs by at most one row of them along each edge.
    np.testing.assert_allclose(found, painted(some, placed), atol=1.1 * len(some) * 4 / (CELLS * 8))


@given(placements(), st.tuples(*[st.floats(0, 1)] * 4))
def test_the_total_is_the_boxs_area_in_cells_where_nothing_is_cropped(placed: Placement, shares: Box) -> None:
    whole = replace(placed, bucket=placed.resized, left=0, top=0)
    whole = replace(whole, resized=(whole.bucket[0] // 8 * 8, whole.bucket[1] // 8 * 8))
    whole = replace(whole, bucket=whole.resized)
    (width, height), (x, y, w, h) = whole.picture, shares
    box = x * width, y * height, w * (1 - x) * width, h * (1 - y) * height
    cells = whole.bucket[0] * whole.bucket[1] / CELLS**2
    area = box[2] * box[3] / (width * height) * cells
    assert box_mask([box], whole, CELLS).sum() == pytest.approx(area, rel=1e-5, abs=1e-6)


@given(placements(), boxes)
def test_a_mirrored_picture_has_the_mirrored_mask(placed: Placement, some: list[Box]) -> None:
    upright, mirrored = box_mask(some, placed, CELLS), box_mask(some, placed.mirrored(), CELLS)
    np.testing.assert_allclose(mirrored, upright[:, ::-1], atol=1e-6)


@given(placements(), boxes, st.data())
def test_a_crop_has_the_crop_of_the_mask(placed: Placement, some: list[Box], data: st.DataObject) -> None:
    placed = replace(placed, flip=False)
    across, down = (data.draw(st.integers(0, side // CELLS - 1)) for side in placed.bucket)
    inner = replace(
        placed,
        left=placed.left + across * CELLS,
        top=placed.top + down * CELLS,
        bucket=(placed.bucket[0] - across * CELLS, placed.bucket[1] - down * CELLS),
    )
    whole = box_mask(some, placed, CELLS)
    np.testing.assert_allclose(box_mask(some, inner, CELLS), whole[down:, across:], atol=1e-6)


@given(placements(), boxes)
def test_a_union_of_boxes_counts_each_point_once(placed: Placement, some: list[Box]) -> None:
    once = box_mask(some, placed, CELLS)
    np.testing.assert_allclose(box_mask([*some, *some], placed, CELLS), once, atol=1e-6)
    alone = [box_mask([box], placed, CELLS) for box in some]
    assert (once <= sum(alone, np.zeros_like(once)) + 1e-6).all()
    assert all((once >= mask - 1e-6).all() for mask in alone)


@given(placements(), st.lists(st.tuples(*[st.integers(0, 39)] * 2, *[st.integers(1, 60)] * 2), max_size=3))
def test_a_mask_in_a_file_is_the_mask_of_its_boxes(placed: Placement, some: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros(placed.picture[::-1], np.uint8)
    for x, y, w, h in some:
        mask[y : y + h, x : x + w] = 255
    np.testing.assert_allclose(picture_mask(mask, placed, CELLS), box_mask(some, placed, CELLS), atol=1e-5)


def test_a_hand_of_one_pixel_in_a_large_photo_is_still_there() -> None:
    placed = placement((6000, 4000), (1216, 832))
    point = (3001.0, 1999.0, 1.0, 1.0)
    mask = np.zeros((4000, 6000), np.uint8)
    mask[1999, 3001] = 255
    area = placed.resized[0] * placed.resized[1] / (6000 * 4000) / CELLS**2
    for found in (box_mask([point], placed, CELLS), picture_mask(mask, placed, CELLS)):
        assert found.sum() == pytest.approx(area, rel=1e-4)
        assert found.max() > 0


def test_without_boxes_the_mask_is_empty() -> None:
    placed = placement((100, 100), (64, 64))
    assert box_mask([], placed, CELLS).shape == (8, 8)
    assert not box_mask([], placed, CELLS).any()
    assert not box_mask([(200, 200, 5, 5), (5, 5, 0, 5)], placed, CELLS).any()


def test_each_part_of_a_mask_has_a_box() -> None:
    mask = np.zeros((50, 80), np.uint8)
    mask[5:9, 10:30] = 255
    mask[40:45, 70:72] = 200
    mask[0:3, 0:3] = 90
    assert sorted(boxes_of_mask(mask)) == [(10, 5, 20, 4), (70, 40, 2, 5)]
    assert boxes_of_mask(np.zeros((4, 4), np.uint8)) == []


def test_errors_of_boxes_have_the_deviation_asked_for() -> None:
    box = (100.0, 50.0, 40.0, 20.0)
    some = with_errors([box] * 4000, 0.2, torch.Generator().manual_seed(1))
    x, y, width, height = (torch.tensor(values) for values in zip(*some, strict=True))
    for middle, side, expected in ((x + width / 2, 40.0, 120.0), (y + height / 2, 20.0, 60.0)):
        assert float(middle.mean()) == pytest.approx(expected, abs=0.02 * side)
        assert float(middle.std()) == pytest.approx(0.2 * side, rel=0.05)
    for grown, side in ((width, 40.0), (height, 20.0)):
        assert float((grown / side).log().std()) == pytest.approx(0.2, rel=0.05)
        assert float((grown / side).log().mean()) == pytest.approx(0.0, abs=0.02)
    assert abs(float(torch.corrcoef(torch.stack([x + width / 2, width]))[0, 1])) < 0.05


def test_errors_follow_from_the_generator_and_none_changes_nothing() -> None:
    some: list[Box] = [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)]
    one, same = (with_errors(some, 0.1, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one == same
    assert one != with_errors(some, 0.1, torch.Generator().manual_seed(6))
    np.testing.assert_allclose(with_errors(some, 0.0, torch.Generator()), some)
