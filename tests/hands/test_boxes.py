import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.hands.boxes import as_entry, box_of, given_boxes
from fairhands.hands.hand import Hand

HEIGHT, WIDTH = 60, 100
NUMBERS = st.floats(-200, 200) | st.integers(-200, 200)
BOXES = st.fixed_dictionaries({side: NUMBERS for side in ("x", "y", "width", "height")})


def box(x: float, y: float, width: float, height: float, **more: object) -> dict[str, object]:
    return {"x": x, "y": y, "width": width, "height": height, **more}


def read(boxes: object, pictures: int = 1) -> list[list[dict[str, object]]]:
    return given_boxes(boxes, pictures, HEIGHT, WIDTH).of_pictures


def test_a_found_hand_becomes_an_entry_in_whole_pixels() -> None:
    entry = as_entry(Hand((10.4, 20.6, 30.5, 40.0), 0.9, "left", None))
    assert entry == {"x": 10, "y": 21, "width": 30, "height": 40, "label": "hand", "side": "left"}
    assert box_of(entry) == (10, 21, 30, 40)


def test_each_picture_has_its_own_list_and_an_entry_keeps_what_else_it_says() -> None:
    one, other = box(1, 2, 3, 4, label="hand", side="left"), box(5.5, 6, 7.25, 8)
    assert read([[one, other], []], 2) == [[one, other], []]


@pytest.mark.parametrize("boxes", [box(1, 2, 3, 4), [box(1, 2, 3, 4)], [[box(1, 2, 3, 4)]], ([box(1, 2, 3, 4)],)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_one_box_and_one_list_count_for_all_pictures(boxes: object, pictures: int) -> None:
    assert read(boxes, pictures) == [[box(1, 2, 3, 4)]] * pictures


@pytest.mark.parametrize("boxes", [[], (), [[]], [[], []]])
def test_empty_lists_are_pictures_without_a_hand(boxes: object) -> None:
    assert read(boxes, 2) == [[], []]


def test_a_box_partly_outside_is_clipped() -> None:
    assert read([box(-10, 50, 30, 30)]) == [[box(0, 50, 20, 10)]]


@pytest.mark.parametrize(
    "outside", [box(100, 0, 5, 5), box(0, -9, 9, 9), box(3, 3, 0, 5), box(3, 3, 5, -1), box(-50, 3, 20, 20)]
)
def test_a_box_outside_or_without_extent_is_left_out_and_counted(outside: dict[str, object]) -> None:
    assert given_boxes([[outside, box(1, 2, 3, 4)], [outside]], 2, HEIGHT, WIDTH) == ([[box(1, 2, 3, 4)], []], 2)


@given(st.lists(BOXES, max_size=4))
def test_every_box_that_is_kept_lies_in_its_picture_and_each_is_kept_or_counted(boxes: list[dict[str, float]]) -> None:
    of_pictures, left_out = given_boxes([boxes], 1, HEIGHT, WIDTH)
    assert len(of_pictures[0]) + left_out == len(boxes)
    for x, y, width, height in map(box_of, of_pictures[0]):
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= WIDTH + 1e-9
        assert y + height <= HEIGHT + 1e-9


def test_whole_numbers_stay_whole_and_numbers_of_numpy_are_numbers() -> None:
    ((entry,),) = read([box(np.int64(1), np.float32(2), 3.0, 4)])
    assert [type(number) for number in box_of(entry)] == [int, int, int, int]


def test_lists_for_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes are for 3 pictures, expected 1 or 2"):
        read([[], [], []], 2)


@pytest.mark.parametrize("boxes", ["text", 7, None, np.zeros((1, 4))])
def test_what_is_no_list_is_refused(boxes: object) -> None:
    with pytest.raises(ValueError, match=r"boxes is a .*, expected a list of boxes for each picture"):
        read(boxes)


def test_a_list_among_boxes_is_refused_with_its_picture() -> None:
    with pytest.raises(ValueError, match="boxes of picture 1 are a dict, expected a list"):
        read([[], box(1, 2, 3, 4)], 2)


@pytest.mark.parametrize(
    "wrong",
    [{"x": 1, "y": 2, "width": 3}, box(1, 2, float("nan"), 4), box(1, 2, float("inf"), 4), box(1, 2, None, 4), [1, 2]],  # type: ignore[arg-type]
)
def test_what_is_no_box_is_named_with_its_place(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"box 1 of picture 0 is .*, expected x, y, width and height as numbers"):
        read([[box(1, 2, 3, 4), wrong]])
