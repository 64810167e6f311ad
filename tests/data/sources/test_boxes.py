import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.data.problems import Problems
from fairhands.data.sources.boxes import usable_boxes

numbers = st.floats(-2000, 2000)
lengths = st.floats(0.5, 2000)
anything = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=8)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers)), lengths, lengths)
def test_usable_boxes_lie_in_the_picture_and_all_else_is_noted(
    boxes: list[tuple[float, ...]], width: float, height: float
) -> None:
    problems = Problems()
    usable = usable_boxes(boxes, "here", problems, width, height)
    for x, y, w, h in usable:
        assert min(x, y) >= 0
        assert min(w, h) > 0
        assert x + w <= width * (1 + 1e-9)
        assert y + h <= height * (1 + 1e-9)
    dropped = sum(problems.counts[kind] for kind in ("box outside", "box without area"))
    assert len(usable) + dropped == len(boxes)


@given(st.lists(anything))
def test_whatever_stands_for_a_box_is_used_or_noted(boxes: list[Any]) -> None:
    problems = Problems()
    usable = usable_boxes(boxes, "here", problems)
    assert len(usable) + sum(problems.counts.values()) - problems.counts["box partly outside"] == len(boxes)
    assert all(math.isfinite(number) for box in usable for number in box)


@given(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50))
def test_a_box_in_the_picture_stays_as_it_is(x: float, y: float, width: float, height: float) -> None:
    problems = Problems()
    [box] = usable_boxes([[x, y, width, height]], "here", problems, 100, 100)
    assert box == pytest.approx((x, y, width, height))
    assert not problems.lines


def test_what_only_rounding_puts_outside_is_clipped_without_a_word() -> None:
    problems = Problems()
    assert usable_boxes([[0.5, 0.5, 0.5004, 0.5]], "here", problems, 1, 1) == ((0.5, 0.5, 0.5, 0.5),)
    assert not problems.lines
    assert usable_boxes([[0.5, 0.5, 0.51, 0.5]], "here", problems, 1, 1) == ((0.5, 0.5, 0.5, 0.5),)
    assert problems.counts == {"box partly outside": 1}


def test_of_a_picture_of_unknown_size_only_the_left_and_upper_border_clip() -> None:
    problems = Problems()
    assert usable_boxes([[-5, 900, 10, 10**5]], "here", problems) == ((0, 900, 5, 10**5),)
    assert problems.lines == [
        "box partly outside: here: x -5, y 900, width 10, height 100000 "
        "is clipped to x 0, y 900, width 5, height 100000"
    ]
