import numpy as np
import pytest
import torch

from fairhands.hands.hand import Face, Hand
from fairhands.hands.preview import draw_hands

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
