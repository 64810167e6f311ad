import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.hands.hand import Box, Hand, area, box_around, clip_box, intersection, merge, share_covered

NUMBER = st.floats(-200, 200)
LENGTH = st.floats(0, 200)
BOXES = st.tuples(NUMBER, NUMBER, LENGTH, LENGTH)


def hand(box: Box, score: float = 0.9, palm: tuple[float, float] | None = None) -> Hand:
    landmarks = None if palm is None else np.tile(np.array(palm, dtype=np.float32), (21, 1))
    return Hand(box, score, "left", landmarks)


@given(BOXES)
def test_a_clipped_box_lies_in_the_picture_and_in_the_box(box: Box) -> None:
    x, y, width, height = clip_box(box, 100, 50)
    assert 0 <= x <= x + width <= 100 + 1e-9
    assert 0 <= y <= y + height <= 50 + 1e-9
    assert area((x, y, width, height)) <= area(box) + 1e-6


@given(BOXES, BOXES)
def test_the_share_covered_is_the_same_both_ways_and_a_share(one: Box, other: Box) -> None:
    share = share_covered(one, other)
    assert share == share_covered(other, one)
    assert 0 <= share <= 1 + 1e-6


def test_a_box_within_another_is_covered_and_one_beside_it_is_not() -> None:
    assert share_covered((0, 0, 10, 10), (2, 2, 3, 3)) == pytest.approx(1)
    assert share_covered((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert intersection((0, 0, 10, 10), (5, 5, 10, 10)) == 25


def test_the_box_around_points_touches_the_outermost() -> None:
    assert box_around(np.array([[3.0, 9.0], [7.0, 2.0], [5.0, 5.0]])) == (3, 2, 4, 7)


def test_of_finds_of_one_hand_the_surest_is_kept() -> None:
    whole, fragment = hand((0, 0, 100, 100), 0.9), hand((10, 10, 30, 30), 0.99)
    other = hand((300, 0, 50, 50), 0.95)
    assert merge([fragment, whole, other]) == [other, whole]


def test_interlocked_hands_are_two_while_one_hand_found_twice_is_one() -> None:
    box, shifted = (0.0, 0.0, 100.0, 100.0), (20.0, 5.0, 100.0, 100.0)
    assert len(merge([hand(box, palm=(20, 80)), hand(shifted, palm=(100, 20))])) == 2
    assert len(merge([hand(box, palm=(50, 50)), hand(shifted, palm=(52, 50))])) == 1


def test_a_fragment_of_a_hand_goes_although_its_palm_is_elsewhere() -> None:
    assert len(merge([hand((0, 0, 100, 100), palm=(20, 80)), hand((70, 5, 25, 25), palm=(85, 10))])) == 1
