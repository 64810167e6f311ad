import numpy as np
import pytest
import torch
from PIL import Image

from fairhands.hands.hand import Face, Hand
from fairhands.hands.preview import MASK_COLOUR, draw_hands, outline

HAND = Hand((20, 30, 40, 30), 0.87, "left", None)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (64, 96), (2000, 1000)])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_preview_is_a_picture_of_the_same_size(size: tuple[int, int], channels: int) -> None:
    landmarks = np.random.default_rng(0).uniform(-50, 150, (21, 2)).astype(np.float32)
    hands = [HAND, Hand((-5, -5, 500, 500), 1.0, "right", landmarks)]
    preview = draw_hands(torch.rand(*size, channels), hands, torch.rand(size))
    assert preview.shape == (*size, 3)
    assert preview.dtype == torch.float32
    assert preview.min() >= 0
    assert preview.max() <= 1


def test_the_picture_itself_is_left_alone_and_without_finds_shown_as_it_is() -> None:
    picture = torch.rand(64, 64, 3)
    before = picture.clone()
    assert (draw_hands(picture, []) - picture).abs().max() < 0.003
    draw_hands(picture, [HAND])
    assert torch.equal(picture, before)


def test_the_mask_is_tinted_and_only_it() -> None:
    mask = torch.zeros(64, 64)
    mask[:32] = 1
    preview = draw_hands(torch.zeros(64, 64, 3), [], mask)
    assert (preview[:32].amax(-1) > 0.2).all()
    assert (preview[32:] == 0).all()


def test_left_right_and_faces_have_their_own_colours() -> None:
    right = Hand(HAND.box, HAND.score, "right", None)
    corners = [draw_hands(torch.zeros(128, 128, 3), [item])[59, 40] for item in (HAND, right, Face(HAND.box, 0.9))]
    assert len({tuple(corner.tolist()) for corner in corners}) == 3


def square_mask(size: int) -> torch.Tensor:
    """A square over the middle half of each side."""
    mask = torch.zeros(size, size)
    mask[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    return mask


@pytest.mark.parametrize("size", [16, 64, 256])
def test_an_outline_of_a_mask_of_any_size_lies_on_its_border_and_nowhere_else(size: int) -> None:
    drawn = np.array(outline(Image.new("RGB", (64, 64), "grey"), square_mask(size)))
    red = (drawn == MASK_COLOUR).all(-1)
    expected = np.zeros((64, 64), dtype=bool)
    expected[16:48, 16:48] = True
    expected[17:47, 17:47] = False
    assert np.array_equal(red, expected)
    assert (drawn[~red] == 128).all()


def test_an_outline_fits_a_picture_of_another_aspect() -> None:
    drawn = outline(Image.new("RGB", (100, 40)), square_mask(64))
    red = np.argwhere((np.array(drawn) == MASK_COLOUR).all(-1))
    assert drawn.size == (100, 40)
    assert red.min(0).tolist() == [10, 25]
    assert red.max(0).tolist() == [29, 74]


def test_each_part_of_a_mask_has_its_outline() -> None:
    mask = torch.zeros(64, 64)
    mask[5:15, 5:15] = mask[40:60, 30:60] = 1
    red = (np.array(outline(Image.new("RGB", (64, 64)), mask)) == MASK_COLOUR).all(-1)
    assert red[5, 5]
    assert red[40, 30]
    assert not red[10, 10]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_an_empty_mask_leaves_the_picture_as_it_is_and_an_outline_never_changes_the_original(mode: str) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)).convert(mode)
    before = np.array(picture)
    assert np.array_equal(np.array(outline(picture, torch.zeros(8, 8))), np.array(picture.convert("RGB")))
    assert outline(picture, torch.ones(8, 8)).mode == "RGB"
    assert np.array_equal(np.array(picture), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_outline_of_a_half_precision_mask_is_the_same(dtype: torch.dtype) -> None:
    picture = Image.new("RGB", (64, 64))
    assert outline(picture, square_mask(16).to(dtype)) == outline(picture, square_mask(16))
