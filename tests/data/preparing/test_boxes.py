"""Which of annotated and detected boxes are believed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fairhands.data.preparing.boxes import corrected, inside, matches, overlap
from fairhands.data.preparing.records import Found

sides = st.integers(1, 60).map(float)
places = st.integers(-20, 100).map(float)
boxes = st.tuples(places, places, sides, sides)
found = st.builds(Found, boxes, st.floats(0, 1))
shares = st.floats(0.01, 1)


@given(boxes, boxes)
def test_overlap_is_a_symmetric_share_and_1_for_a_box_with_itself(one: tuple, other: tuple):
    assert overlap(one, one) == pytest.approx(1)
    assert 0 <= overlap(one, other) == pytest.approx(overlap(other, one))
    assert overlap(one, other) <= 1 + 1e-9


def test_overlap_is_the_intersection_over_the_union():
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6), shares)
def test_each_box_matches_one_other_at_most_and_only_where_they_overlap_enough(ones: list, others: list, least: float):
    same = matches(ones, others, least)
    assert len(set(same.values())) == len(same)
    assert all(overlap(ones[i], others[j]) >= least for i, j in same.items())
    for i, one in enumerate(ones):  # nothing that could match is left on both sides
        for j, other in enumerate(others):
            if overlap(one, other) >= least:
                assert i in same or j in same.values()


def test_the_pair_that_overlaps_most_goes_first():
    ones = [(0, 0, 10, 10), (2, 0, 10, 10)]
    assert matches(ones, [(2, 0, 10, 10)], 0.3) == {1: 0}


@given(st.lists(boxes, max_size=6), st.lists(found, max_size=6), shares)
def test_annotated_boxes_stay_as_they_are_unless_something_else_is_chosen(annotated: list, seen: list, least: float):
    assert [hand.box for hand in corrected(annotated, seen, least)] == annotated


@given(st.lists(boxes, max_size=6), st.lists(found, max_size=6), shares)
def test_confirmed_boxes_have_the_detectors_score_and_others_none(annotated: list, seen: list, least: float):
    same = matches(annotated, [one.box for one in seen], least)
    for number, hand in enumerate(corrected(annotated, seen, least)):
        assert hand.score == (seen[same[number]].score if number in same else None)


@given(st.lists(boxes, max_size=6), st.lists(found, max_size=6), shares)
def test_dropping_leaves_confirmed_boxes_only_and_replacing_detected_ones_only(
    annotated: list, seen: list, least: float
):
    dropped = corrected(annotated, seen, least, drop_unconfirmed=True)
    assert all(hand.score is not None and hand.box in annotated for hand in dropped)
    replaced = corrected(annotated, seen, least, drop_unconfirmed=True, replace_confirmed=True)
    assert len(replaced) == len(dropped)
    assert all(hand in seen for hand in replaced)


@given(st.lists(boxes, max_size=6), st.lists(found, max_size=6), shares)
def test_with_added_ones_each_detected_hand_counts_once(annotated: list, seen: list, least: float):
    hands = corrected(annotated, seen, least, replace_confirmed=True, drop_unconfirmed=True, add_unannotated=True)
    assert sorted(hand.box for hand in hands) == sorted(hand.box for hand in seen)


@given(st.lists(boxes, max_size=5), st.lists(found, max_size=5), shares, st.randoms())
def test_the_order_of_detected_hands_does_not_matter(annotated: list, seen: list, least: float, random):
    overlaps = [overlap(one, other.box) for one in annotated for other in seen]
    assume(len(set(overlaps) - {0.0}) == len([value for value in overlaps if value]))  # no two as good as each other
    shuffled = random.sample(seen, len(seen))
    assert corrected(annotated, shuffled, least) == corrected(annotated, seen, least)


def test_boxes_are_clipped_to_the_picture_and_those_outside_are_counted():
    hands = [Found((-5, 10, 20, 20), 0.5), Found((100, 0, 9, 9)), Found((99.5, 0, 9, 9)), Found((0, 0, 0, 5))]
    assert inside(hands, 100, 50) == ([Found((0, 10, 15, 20), 0.5)], 3)
