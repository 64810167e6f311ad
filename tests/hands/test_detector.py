import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fairhands.data import mannequin
from fairhands.hands import files
from fairhands.hands.detector import FaceDetector, HandDetector
from fairhands.hands.hand import Hand, share_covered
from fairhands.hands.pictures import as_rgb, as_rgb_batch

GREY = np.full((96, 128, 3), 127, dtype=np.uint8)


@pytest.fixture(scope="module")
def drawn() -> mannequin.Mannequin:
    return mannequin.draw(1, 256, hands=1, kind="right")


@pytest.fixture(scope="module")
def model(mediapipe_models: Path) -> Path:
    return files.find(mediapipe_models, files.HAND_LANDMARKER)


def same(one: list[Hand], other: list[Hand]) -> bool:
    return [hand.box for hand in one] == [hand.box for hand in other]


def test_a_drawn_hand_is_found_where_it_is(hand_detector: HandDetector, drawn: mannequin.Mannequin) -> None:
    (hand,) = hand_detector.detect(drawn.picture)
    assert share_covered(hand.box, drawn.boxes[0]) > 0.8
    assert 0 < hand.score <= 1
    assert hand.landmarks is not None
    assert hand.landmarks.shape == (21, 2)
    assert hand.landmarks.dtype == np.float32


def test_a_box_lies_in_the_picture_also_when_the_hand_does_not(
    hand_detector: HandDetector, drawn: mannequin.Mannequin
) -> None:
    _, y, _, height = drawn.boxes[0]
    cut = np.ascontiguousarray(drawn.picture[: y + round(height * 0.85)])
    for hand in hand_detector.detect(cut):
        left, top, box_width, box_height = hand.box
        assert left >= 0
        assert top >= 0
        assert left + box_width <= cut.shape[1]
        assert top + box_height <= cut.shape[0]


def test_the_side_is_the_persons_own_and_mirroring_turns_it(
    hand_detector: HandDetector, drawn: mannequin.Mannequin
) -> None:
    (hand,) = hand_detector.detect(drawn.picture)
    (mirrored,) = hand_detector.detect(np.ascontiguousarray(drawn.picture[:, ::-1]))
    assert {hand.side, mirrored.side} == {"left", "right"}


def test_no_hand_is_an_empty_list(hand_detector: HandDetector) -> None:
    assert hand_detector.detect(GREY) == []


def test_a_batch_of_floats_gives_what_the_bytes_give(hand_detector: HandDetector, drawn: mannequin.Mannequin) -> None:
    expected = hand_detector.detect(drawn.picture)
    image = torch.from_numpy(drawn.picture)[None].float() / 255
    batch = torch.cat([image, torch.full_like(image, 0.5), image])
    found = hand_detector.detect_batch(batch)
    assert same(found[0], expected)
    assert found[1] == []
    assert same(found[2], expected)
    assert same(hand_detector.detect_batch([drawn.picture])[0], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_will_do(hand_detector: HandDetector, drawn: mannequin.Mannequin, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        image = (torch.from_numpy(drawn.picture)[None].float() / 255).to(dtype)
        assert len(hand_detector.detect_batch(image)[0]) == 1


def test_memory_order_transparency_and_one_channel_make_no_difference_to_what_is_seen(drawn: Any) -> None:
    picture = drawn.picture
    alpha = np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])
    assert np.array_equal(as_rgb(alpha), picture)
    turned = picture[:, ::-1]
    assert as_rgb(turned).flags.c_contiguous
    assert np.array_equal(as_rgb(turned), turned)
    assert as_rgb(picture[..., 0]).shape == picture.shape
    assert np.array_equal(as_rgb(picture.astype(np.float64) / 255), picture)
    assert as_rgb(picture) is not None
    assert np.shares_memory(as_rgb(picture), picture)


def test_every_byte_survives_the_way_through_floats() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    (back,) = as_rgb_batch(values.float() / 255)
    assert np.array_equal(back, values[0].numpy())


def test_floats_out_of_range_and_no_numbers_become_bytes() -> None:
    values = np.array([[[-3.0, 9.0, np.nan]]], dtype=np.float32)
    assert as_rgb(values).tolist() == [[[0, 255, 0]]]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_a_tiny_picture_holds_nothing(hand_detector: HandDetector, size: tuple[int, int]) -> None:
    assert hand_detector.detect(np.zeros((*size, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8, 5), np.uint8), r"\[8, 8, 5\]"),
        (np.zeros((0, 8, 3), np.uint8), r"\[0, 8, 3\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"\[2, 8, 8, 3\]"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
        ([[0, 0, 0]], "list"),
    ],
)
def test_what_is_no_picture_is_refused(hand_detector: HandDetector, picture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hand_detector.detect(picture)


def test_a_tensor_that_is_no_batch_is_refused(hand_detector: HandDetector) -> None:
    with pytest.raises(ValueError, match=r"\[8, 8, 3\]"):
        hand_detector.detect_batch(torch.zeros(8, 8, 3))


@pytest.mark.parametrize("numbers", [{"threshold": 1.5}, {"min_size": -1.0}, {"max_hands": 0}, {"tiles": 0}])
def test_a_number_out_of_range_is_refused_by_name(model: Path, numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(numbers))):
        HandDetector(model, **numbers)


def test_hands_smaller_than_the_least_size_are_left_out(model: Path, drawn: mannequin.Mannequin) -> None:
    (hand,) = HandDetector(model).detect(drawn.picture)
    size = min(hand.box[2:]) / 256
    assert len(HandDetector(model, min_size=size - 0.01).detect(drawn.picture)) == 1
    assert HandDetector(model, min_size=size + 0.01).detect(drawn.picture) == []


def test_the_best_score_comes_first_and_no_more_than_the_most_are_given(model: Path) -> None:
    pictures = [mannequin.draw(seed, 256, hands=1, kind="right").picture for seed in (1, 2)]
    pair = np.hstack(pictures)
    hands = HandDetector(model, 0.3).detect(pair)
    assert len(hands) == 2
    assert hands[0].score >= hands[1].score
    assert len(HandDetector(model, 0.3, max_hands=1).detect(pair)) == 1


def test_a_closed_detector_opens_again_when_it_is_used(model: Path, drawn: mannequin.Mannequin) -> None:
    with HandDetector(model, 0.4) as detector:
        expected = detector.detect(drawn.picture)
    detector.close()
    assert same(detector.detect(drawn.picture), expected)
    detector.close()


def test_several_threads_find_what_one_finds(model: Path, drawn: mannequin.Mannequin) -> None:
    detector = HandDetector(model, 0.35)
    expected, found = detector.detect(drawn.picture), []

    def work() -> None:
        for _ in range(3):
            found.append(detector.detect(drawn.picture))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(same(hands, expected) for hands in found)


@pytest.mark.parametrize("first", ["sys", "mediapipe"])
def test_a_program_that_never_closes_its_detector_ends_quietly(model: Path, first: str) -> None:
    program = (
        f"import {first}, sys, numpy\nfrom fairhands.hands.detector import HandDetector\n"
        "detector = HandDetector(sys.argv[1])\nprint(detector.detect(numpy.zeros((64, 64, 3), numpy.uint8)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, model], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[]" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_face_detector_finds_none_in_grey_and_refuses_what_is_no_picture(mediapipe_models: Path) -> None:
    with FaceDetector(files.find(mediapipe_models, files.FACE_DETECTOR)) as detector:
        assert detector.detect(GREY) == []
        assert detector.detect_batch(torch.zeros(2, 64, 64, 3)) == [[], []]
        assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
        with pytest.raises(ValueError, match="expected"):
            detector.detect(np.zeros((8, 8, 7), np.uint8))
