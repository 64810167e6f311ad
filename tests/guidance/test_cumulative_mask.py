import pytest
import torch

from fairhands.guidance.cumulative_mask import CumulativeMask, MaskGrowth
from fairhands.hands.hand import Hand
from fairhands.hands.masks import MaskStyle

BOX = MaskStyle(shape="box", padding=0.0)
SHARE = 16 * 16 / 64**2


def hand(x: float, y: float, score: float = 0.9) -> Hand:
    return Hand(box=(x, y, 16.0, 16.0), score=score, side="right", landmarks=None)


def covers(mask: CumulativeMask, *hands: Hand) -> bool:
    """Whether the mask of the first image is that of these hands and no more."""
    expected = torch.zeros(64, 64)
    for x, y, width, height in ([round(value) for value in hand.box] for hand in hands):
        expected[y : y + height, x : x + width] = 1
    return torch.equal(mask.picture[0], expected)


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


def test_hands_beyond_the_largest_share_are_left_out_most_certain_first() -> None:
    faint, sure, surest = hand(0, 0, 0.5), hand(20, 0, 0.8), hand(40, 0, 0.95)
    mask = CumulativeMask(1, 64, 64, BOX, growth=MaskGrowth(largest=2.5 * SHARE))
    assert mask.add(0, [faint, sure, surest]) == [surest, sure]
    assert covers(mask, sure, surest)


def test_a_smaller_hand_still_fits_where_a_more_certain_one_did_not() -> None:
    large = Hand(box=(0.0, 0.0, 60.0, 60.0), score=0.99, side="left", landmarks=None)
    mask = CumulativeMask(1, 64, 64, BOX, growth=MaskGrowth(largest=0.2))
    small = hand(40, 40)
    assert mask.add(0, [large, small]) == [small]
    assert covers(mask, small)


def test_what_the_mask_covers_already_is_not_left_out_however_large_the_mask_is() -> None:
    mask = CumulativeMask(1, 64, 64, BOX, torch.ones(64, 64), MaskGrowth(largest=0.1))
    inside = hand(10, 10)
    assert mask.add(0, [inside]) == [inside]


def test_a_drawing_of_hands_leaves_the_mask_alone_and_obeys_its_largest_share() -> None:
    mask = CumulativeMask(1, 64, 64, BOX, growth=MaskGrowth(largest=1.5 * SHARE))
    assert float(mask.draw([hand(0, 0), hand(30, 30, 0.99)]).mean()) == pytest.approx(SHARE)
    assert mask.draw([hand(0, 0), hand(30, 30, 0.99)])[35, 35] == 1
    assert mask.area(0) == 0


@pytest.mark.parametrize("remember", [1, 2, 3])
def test_it_shrinks_back_to_the_start_and_the_last_detections(remember: int) -> None:
    start = torch.zeros(64, 64)
    start[48:64, 48:64] = 1
    mask = CumulativeMask(1, 64, 64, BOX, start, MaskGrowth(remember=remember))
    hands = [hand(0, 0), hand(16, 0), hand(32, 0), hand(48, 0), hand(0, 16)]
    for number, found in enumerate(hands):
        mask.add(0, [found])
        mask.add(0, [])  # a look that finds nothing forgets nothing
        assert covers(mask, hand(48, 48), *hands[max(0, number - remember + 1) : number + 1])


def test_without_remembering_a_number_nothing_is_forgotten() -> None:
    mask = CumulativeMask(1, 64, 64, BOX)
    hands = [hand(16 * x, 16 * y) for x in range(4) for y in range(4)]
    for found in hands:
        mask.add(0, [found])
    assert covers(mask, *hands)


def test_a_mask_that_was_added_stays_when_detections_are_forgotten() -> None:
    mask = CumulativeMask(1, 64, 64, BOX, growth=MaskGrowth(remember=1))
    mask.add_mask(0, mask.draw([hand(0, 0)]))
    for x in (16, 32):
        mask.add(0, [hand(x, 0)])
    assert covers(mask, hand(0, 0), hand(32, 0))


def test_the_trace_sees_the_same_tensor_all_the_time() -> None:
    mask = CumulativeMask(1, 64, 64, BOX, growth=MaskGrowth(remember=1))
    picture = mask.picture
    mask.add(0, [hand(0, 0)])
    mask.add_mask(0, torch.ones(64, 64))
    assert picture is mask.picture
    assert picture.min() == 1


def test_a_mask_made_and_changed_in_inference_mode_can_be_changed_outside_of_it() -> None:
    with torch.inference_mode():
        mask = CumulativeMask(1, 64, 64, BOX, torch.zeros(64, 64))
        mask.add(0, [hand(0, 0)])
    mask.add(0, [hand(16, 0)])
    mask.add_mask(0, mask.draw([hand(32, 0)]))
    assert covers(mask, hand(0, 0), hand(16, 0), hand(32, 0))


@pytest.mark.parametrize("largest", [0.0, -0.1, 1.5])
def test_a_largest_share_out_of_range_is_refused(largest: float) -> None:
    with pytest.raises(ValueError, match=f"largest mask is {largest}"):
        MaskGrowth(largest=largest)


def test_a_negative_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="remember is -1"):
        MaskGrowth(remember=-1)
