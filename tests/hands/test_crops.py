import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairhands.hands.crops import square_around, square_crops
from fairhands.hands.hand import Box

BOXES = st.tuples(st.floats(0, 90), st.floats(0, 60), st.floats(0, 60), st.floats(0, 60))


@given(BOXES, st.floats(0, 1))
def test_the_square_lies_in_the_picture_where_it_fits_and_around_it_where_not(box: Box, margin: float) -> None:
    left, top, side = square_around(box, margin, 64, 96)
    for start, length in ((left, 96), (top, 64)):
        if side <= length:
            assert 0 <= start <= start + side <= length
        else:
            assert start <= 0
            assert start + side >= length


@given(BOXES)
def test_the_square_holds_the_visible_box(box: Box) -> None:
    left, top, side = square_around(box, 0.1, 64, 96)
    x, y, width, height = box
    assert left - 1 <= x
    assert top - 1 <= y
    assert left + side + 1 >= min(x + width, 96)
    assert top + side + 1 >= min(y + height, 64)


def test_a_crop_of_its_own_size_is_the_picture_itself() -> None:
    picture = torch.rand(3, 40, 50)
    crops = square_crops(picture, [(10, 5, 16, 16), (40, 30, 16, 16)], 16, 0.0)
    assert crops.shape == (2, 3, 16, 16)
    torch.testing.assert_close(crops[0], picture[:, 5:21, 10:26])
    torch.testing.assert_close(crops[1], picture[:, 24:40, 34:50])


def test_a_square_larger_than_the_picture_repeats_its_border() -> None:
    picture = torch.rand(3, 10, 30)
    crop = square_crops(picture, [(0, 0, 30, 10)], 30, 0.0)[0]
    torch.testing.assert_close(crop[:, 10:20], picture)
    torch.testing.assert_close(crop[:, :10], picture[:, :1].expand(3, 10, 30))
    torch.testing.assert_close(crop[:, 20:], picture[:, -1:].expand(3, 10, 30))


def test_no_boxes_give_no_crops() -> None:
    assert square_crops(torch.rand(3, 8, 8), [], 4, 0.0).shape == (0, 3, 4, 4)


def test_the_gradient_reaches_every_pixel_of_the_square_and_none_outside() -> None:
    picture = torch.rand(3, 64, 64, requires_grad=True)
    crops = square_crops(picture, [(10, 20, 30, 20)], 12, 0.0)
    (gradient,) = torch.autograd.grad(crops.square().sum(), picture)
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[15:45, 10:40] = True
    assert (gradient[:, inside] != 0).all()
    assert (gradient[:, ~inside] == 0).all()


@pytest.mark.parametrize("box", [(1, 1, 4, 3), (0, 0, 9, 7)])
def test_the_gradient_is_right(box: Box) -> None:
    picture = torch.rand(3, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: square_crops(values, [box], 5, 0.2), picture)


def test_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 3, 8, 8\]"):
        square_crops(torch.rand(1, 3, 8, 8), [(0, 0, 4, 4)], 4, 0.0)
