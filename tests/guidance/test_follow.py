from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fairhands.data import mannequin
from fairhands.guidance.cumulative_mask import CumulativeMask, MaskGrowth
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.follow import Fallback, HandFollower, closer_look, critic_regions, parse_fallbacks
from fairhands.guidance.windows import Region
from fairhands.hands.detector import HandDetector
from fairhands.hands.hand import Hand, share_covered
from fairhands.hands.masks import MaskStyle

SIZE, CELL = 256, 8
STYLE = MaskStyle(shape="hull", padding=0.1)


def encode(*pictures: Tensor) -> Tensor:
    """Latents of which each cell holds the pixels of its 8 x 8 block."""
    return functional.pixel_unshuffle(torch.stack(pictures), CELL)


DECODER = Decoder(lambda latents: functional.pixel_shuffle(latents, CELL), CELL, "shuffle")


def as_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1) / 255


HAND = mannequin.draw(1, SIZE, kind="right")
HAND_PICTURE = as_tensor(HAND.picture)
GREY = torch.full((3, SIZE, SIZE), 0.5)


def empty_mask(batch: int = 1, size: int = SIZE, **growth: float) -> CumulativeMask:
    return CumulativeMask(batch, size, size, STYLE, growth=MaskGrowth(**growth))


def test_a_look_records_the_hands_and_joins_the_mask(hand_detector: HandDetector) -> None:
    follow = HandFollower(DECODER, hand_detector, empty_mask(2))
    plain, found = follow(encode(GREY, HAND_PICTURE))
    assert plain.hands == []
    assert (plain.mask_area, plain.fallback) == (0.0, "")
    (hand,) = found.hands
    assert share_covered(tuple(hand["box"]), HAND.boxes[0]) > 0.8
    assert found.mask_area == pytest.approx(follow.mask.area(1))
    assert found.mask_area > 0.02


@pytest.mark.parametrize("every", [1, 2, 3])
def test_only_every_nth_call_looks_and_the_others_keep_what_was_seen(hand_detector: HandDetector, every: int) -> None:
    decoded = 0

    def decode(latents: Tensor) -> Tensor:
        nonlocal decoded
        decoded += 1
        return functional.pixel_shuffle(latents, CELL)

    follow = HandFollower(Decoder(decode, CELL, "counting"), hand_detector, empty_mask(), every)
    pictures = [HAND_PICTURE] + [GREY] * 6
    records = [follow(encode(picture))[0] for picture in pictures]
    assert decoded == len(range(0, 7, every))
    assert [bool(record.hands) for record in records] == [True] + [False] * 6
    # The mask stays, whatever later looks see.
    assert len({record.mask_area for record in records}) == 1
    assert records[0].mask_area > 0


def test_between_looks_the_critic_judges_the_hands_found_last(hand_detector: HandDetector) -> None:
    follow = HandFollower(DECODER, hand_detector, empty_mask(), every=2)
    (record,) = follow(encode(HAND_PICTURE))
    box = record.hands[0]["box"]
    for picture in (GREY, GREY):
        assert follow.regions(0, False)[0].box == pytest.approx(box, abs=0.1)
        follow(encode(picture))
    # The third call looked, and saw none: the part of the mask is judged.
    (region,) = follow.regions(0, False)
    assert region.box != pytest.approx(box, abs=0.1)
    assert share_covered(region.box, HAND.boxes[0]) > 0.8


def test_a_hand_found_later_is_seen_at_the_next_look(hand_detector: HandDetector) -> None:
    follow = HandFollower(DECODER, hand_detector, empty_mask(), every=2)
    records = [follow(encode(picture))[0] for picture in (GREY, HAND_PICTURE, HAND_PICTURE)]
    assert [len(record.hands) for record in records] == [0, 0, 1]
    assert [record.mask_area > 0 for record in records] == [False, False, True]


def test_looking_at_no_call_is_refused(hand_detector: HandDetector) -> None:
    with pytest.raises(ValueError, match="every is 0, expected 1 or more"):
        HandFollower(DECODER, hand_detector, empty_mask(), every=0)


def recorded(asked: list[str], name: str, answer: Tensor | None) -> Fallback:
    def fallback(image: int, picture: Tensor) -> Tensor | None:
        assert picture.shape == (SIZE, SIZE, 3)
        asked.append(f"{name} {image}")
        return answer

    return fallback


def patch(x: int, y: int, side: int = 32) -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[y : y + side, x : x + side] = 1
    return mask


def test_fallbacks_are_asked_in_their_order_until_one_knows_a_place(hand_detector: HandDetector) -> None:
    asked: list[str] = []
    answers = {"one": None, "two": torch.zeros(SIZE, SIZE), "three": patch(10, 20), "four": patch(100, 100)}
    fallbacks = {name: recorded(asked, name, answer) for name, answer in answers.items()}
    follow = HandFollower(DECODER, hand_detector, empty_mask(2), fallbacks=fallbacks)
    records = follow(encode(HAND_PICTURE, GREY))
    assert asked == ["one 1", "two 1", "three 1"]
    assert [record.fallback for record in records] == ["", "three"]
    assert torch.equal(follow.mask.picture[1], patch(10, 20))
    assert records[1].mask_area == pytest.approx(32 * 32 / SIZE**2)
    assert follow.regions(1, False) == [Region((10, 20, 32, 32))]
    # From now on its mask is not empty.
    assert follow(encode(HAND_PICTURE, GREY))[1].fallback == ""
    assert len(asked) == 3


def test_without_a_place_from_any_of_them_they_are_asked_at_each_look(hand_detector: HandDetector) -> None:
    asked: list[str] = []
    fallbacks = {"one": recorded(asked, "one", None)}
    follow = HandFollower(DECODER, hand_detector, empty_mask(), 2, fallbacks)
    for _ in range(4):
        assert follow(encode(GREY))[0].fallback == ""
    assert asked == ["one 0", "one 0"]


def test_no_fallback_is_asked_where_the_mask_was_known_from_the_start(hand_detector: HandDetector) -> None:
    asked: list[str] = []
    mask = CumulativeMask(1, SIZE, SIZE, STYLE, patch(0, 0))
    follow = HandFollower(DECODER, hand_detector, mask, fallbacks={"one": recorded(asked, "one", patch(50, 50))})
    assert follow(encode(GREY))[0].fallback == ""
    assert asked == []
    assert torch.equal(mask.picture[0], patch(0, 0))


def test_no_fallback_is_asked_where_a_hand_was_found_but_left_out(hand_detector: HandDetector) -> None:
    asked: list[str] = []
    fallbacks = {"one": recorded(asked, "one", patch(50, 50))}
    follow = HandFollower(DECODER, hand_detector, empty_mask(largest=0.001), fallbacks=fallbacks)
    (record,) = follow(encode(HAND_PICTURE))
    assert (record.left_out, record.mask_area) == (1, 0.0)
    assert asked == []
    assert follow.regions(0, False) == []


def test_a_hand_left_out_is_not_judged_even_where_a_mask_covers_part_of_it(hand_detector: HandDetector) -> None:
    x, y, width, height = (round(value) for value in HAND.boxes[0])
    start = patch(x + width // 2 - 8, y + height // 2 - 8, 16)
    mask = CumulativeMask(1, SIZE, SIZE, STYLE, start, MaskGrowth(largest=0.01))
    follow = HandFollower(DECODER, hand_detector, mask)
    (record,) = follow(encode(HAND_PICTURE))
    assert (len(record.hands), record.left_out) == (1, 1)
    assert [region.box for region in follow.regions(0, False)] == [(x + width // 2 - 8, y + height // 2 - 8, 16, 16)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (" , ", []),
        ("closer look", ["closer look"]),
        ("attention,start mask , closer look", ["attention", "start mask", "closer look"]),
        ("closer look, closer look", ["closer look"]),
    ],
)
def test_fallbacks_are_read_from_a_list_with_commas(text: str, names: list[str]) -> None:
    assert parse_fallbacks(text) == names


def test_an_unknown_fallback_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected some of start mask, attention, closer look .*, found 'magic'"):
        parse_fallbacks("closer look, magic")


SMALL = 40


def small_hand(hand: mannequin.Mannequin, place: int) -> np.ndarray:
    """A grey picture with the hand in a square of SMALL pixels at that x and y."""
    canvas = np.full((512, 512, 3), 150, dtype=np.uint8)
    small = cv2.resize(hand.picture, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    canvas[place : place + SMALL, place : place + SMALL] = small
    return canvas


def look_closer(detector: HandDetector, picture: np.ndarray, mask: CumulativeMask) -> Tensor | None:
    return closer_look(detector, mask)(0, torch.from_numpy(picture) / 255)


@pytest.mark.parametrize("place", [100, 220, 380])
def test_a_closer_look_finds_a_small_hand_that_the_plain_look_misses(hand_detector: HandDetector, place: int) -> None:
    picture = small_hand(HAND, place)
    assert hand_detector.detect(picture) == []
    mask = empty_mask(size=512)
    found = look_closer(hand_detector, picture, mask)
    assert found is not None
    x, y, width, height = (value * SMALL / SIZE for value in HAND.boxes[0])
    assert found[round(place + y + height / 2), round(place + x + width / 2)] == 1
    assert 0.0005 < float(found.mean()) < 0.02
    assert mask.area(0) == 0


def test_a_closer_look_is_less_strict_too(hand_detector: HandDetector) -> None:
    picture = small_hand(mannequin.draw(2, SIZE, kind="right"), 380)
    assert replace(hand_detector, tiles=2).detect(picture) == []
    assert look_closer(hand_detector, picture, empty_mask(size=512)) is not None


def test_a_closer_look_obeys_the_masks_largest_size(hand_detector: HandDetector) -> None:
    found = look_closer(hand_detector, HAND.picture, empty_mask(largest=0.001))
    assert found is not None
    assert not found.any()


def test_a_closer_look_that_sees_nothing_gives_no_mask(hand_detector: HandDetector) -> None:
    assert look_closer(hand_detector, np.full((512, 512, 3), 127, np.uint8), empty_mask(size=512)) is None


def test_a_closer_look_while_following_gives_the_mask_and_the_region(hand_detector: HandDetector) -> None:
    mask = empty_mask(size=512)
    follow = HandFollower(DECODER, hand_detector, mask, fallbacks={"closer look": closer_look(hand_detector, mask)})
    (record,) = follow(encode(as_tensor(small_hand(HAND, 380))))
    assert record.fallback == "closer look"
    assert record.mask_area > 0
    (region,) = follow.regions(0, False)
    assert share_covered(region.box, (380, 380, SMALL, SMALL)) > 0.7


def boxed(x: float, y: float, score: float = 0.9) -> Hand:
    return Hand(box=(x, y, 25.0, 25.0), score=score, side="left", landmarks=None)


def test_the_critic_looks_at_each_hand_and_at_the_parts_of_the_mask_without_one() -> None:
    mask = torch.zeros(100, 100)
    mask[10:40, 10:40] = 1
    mask[60:90, 60:90] = 1
    hand = boxed(12, 12)
    assert critic_regions([hand], mask) == [Region(hand.box), Region((60, 60, 30, 30))]
    assert critic_regions([], mask[:50]) == [Region((10, 10, 30, 30))]
    assert critic_regions([], torch.zeros(100, 100)) == []


@pytest.mark.parametrize(("by_score", "weights"), [(False, [1.0, 1.0, 1.0]), (True, [0.9, 1e-3, 1.0])])
def test_hands_weigh_alike_or_as_the_detector_is_sure_of_them(by_score: bool, weights: list[float]) -> None:
    mask = torch.zeros(100, 100)
    mask[:40, :80] = 1
    mask[60:90, 60:90] = 1
    found = critic_regions([boxed(5, 5), boxed(45, 5, 0.0)], mask, by_score)
    assert [region.weight for region in found] == weights


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_it_follows_in_any_mode_and_half_precision(
    hand_detector: HandDetector, mode: Callable[[], torch.autograd.grad_mode.inference_mode]
) -> None:
    with mode():
        follow = HandFollower(DECODER, hand_detector, empty_mask())
        records = [follow(encode(HAND_PICTURE).half())[0] for _ in range(2)]
    assert [len(record.hands) for record in records] == [1, 1]


def test_an_estimate_that_is_no_number_shows_no_hand(hand_detector: HandDetector) -> None:
    records = HandFollower(DECODER, hand_detector, empty_mask(2))(
        encode(torch.full_like(GREY, torch.nan), HAND_PICTURE)
    )
    assert [len(record.hands) for record in records] == [0, 1]
