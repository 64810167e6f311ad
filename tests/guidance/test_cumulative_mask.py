import pytest
import torch

from fairhands.guidance.cumulative_mask import CumulativeMask
from fairhands.hands.hand import Hand
from fairhands.hands.masks import MaskStyle

BOX = MaskStyle(shape="box", padding=0.0)


def hand(x: float, y: float) -> Hand:
    return Hand(box=(x, y, 16.0, 16.0), score=0.9, side="right", landmarks=None)


def test_it_only_grows() -> None:
    mask = CumulativeMask(1, 64, 64, BOX)
    seen = mask.picture.clone()
    for hands in ([hand(0, 0)], [], [hand(40, 40)], [hand(8, 8)]):
        mask.add(0, hands)
        assert (mask.picture >= seen).all()
        seen = mask.picture.clone()
    assert mask.area(0) == pytest.approx((16 * 16 * 3 - 8 * 8) / 64**2)


def test_each_image_has_its_own() -> None:
    mask = CumulativeMask(3, 64, 64, BOX)
    mask.add(1, [hand(0, 0)])
    assert [mask.area(image) > 0 for image in range(3)] == [False, True, False]


@pytest.mark.parametrize("shape", [(32, 32), (1, 100, 50), (2, 64, 64)])
def test_a_start_mask_of_any_size_is_taken(shape: tuple[int, ...]) -> None:
    assert CumulativeMask(2, 64, 64, BOX, torch.ones(shape)).picture.min() > 0.9999


def test_a_start_mask_for_another_number_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="3"):
        CumulativeMask(2, 64, 64, BOX, torch.ones(3, 64, 64))


def test_at_latent_size_it_keeps_the_share_that_a_cell_covers() -> None:
    mask = CumulativeMask(1, 64, 64, BOX)
    mask.add(0, [Hand(box=(4.0, 0.0, 12.0, 8.0), score=0.9, side="left", landmarks=None)])
    assert mask.latent(0, 8, 8)[0, :3].tolist() == pytest.approx([0.5, 1.0, 0.0])
