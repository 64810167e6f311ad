from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from fairhands.hands.segs import mask_of_segs


class Seg(NamedTuple):
    cropped_mask: Any
    crop_region: tuple[int, int, int, int]


def test_each_mask_lies_at_its_place_and_the_larger_value_counts() -> None:
    first = Seg(np.full((4, 6), 0.5, np.float32), (2, 1, 8, 5))
    second = Seg(torch.ones(2, 2), (6, 3, 8, 5))
    (mask,) = mask_of_segs(((8, 10), [first, second]))
    assert mask.shape == (8, 10)
    assert mask[1:3, 2:8].eq(0.5).all()
    assert mask[3:5, 6:8].eq(1).all()
    assert float(mask.sum()) == 20 * 0.5 + 4


def test_nothing_found_is_an_empty_mask() -> None:
    assert torch.equal(mask_of_segs(((5, 7), [])), torch.zeros(1, 5, 7))


def test_what_reaches_out_of_the_picture_is_cut() -> None:
    (mask,) = mask_of_segs(((6, 6), [Seg(np.ones((5, 5)), (-2, 3, 3, 8))]))
    expected = torch.zeros(6, 6)
    expected[3:, :3] = 1
    assert torch.equal(mask, expected)


def test_a_mask_of_another_size_than_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"segs: expected a mask of 3 x 2 pixels .* found one of the shape \(5, 5\)"):
        mask_of_segs(((8, 8), [Seg(np.ones((5, 5)), (0, 0, 3, 2))]))


@pytest.mark.parametrize("other", [None, torch.zeros(1, 4, 4), ((4, 4), [1]), [{"x": 1}]])
def test_something_else_is_refused_in_a_sentence(other: Any) -> None:
    with pytest.raises(ValueError, match="segs: expected the picture's size and a list of masks"):
        mask_of_segs(other)
