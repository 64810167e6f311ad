from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.data import mannequin
from fairhands.hands import files
from fairhands.hands.detector import HandDetector
from fairhands.hands.hand import Hand, share_covered
from fairhands.hands.tiles import search_with_tiles, spans

PLACES = [(430, 500), (900, 120), (100, 850)]
SMALL = 72


@pytest.fixture(scope="module")
def small_hands() -> np.ndarray:
    """A large grey picture with three small hands."""
    canvas = np.full((1024, 1024, 3), 150, dtype=np.uint8)
    for seed, (x, y) in enumerate(PLACES, start=1):
        hand = mannequin.draw(seed, 256, hands=1, kind="right").picture
        canvas[y : y + SMALL, x : x + SMALL] = cv2.resize(hand, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    return canvas


def detector(folder: Path, tiles: int, max_hands: int = 4) -> HandDetector:
    return HandDetector(files.find(folder, files.HAND_LANDMARKER), 0.3, max_hands, tiles=tiles)


def test_tiles_find_the_small_hands_that_the_whole_picture_hides(
    mediapipe_models: Path, small_hands: np.ndarray
) -> None:
    found = detector(mediapipe_models, 4).detect(small_hands)
    assert len(detector(mediapipe_models, 1).detect(small_hands)) < len(PLACES)
    assert len(found) == len(PLACES)
    for x, y in PLACES:
        (hand,) = [hand for hand in found if share_covered(hand.box, (x, y, SMALL, SMALL)) > 0.7]
        assert hand.landmarks is not None
        assert (np.abs(hand.landmarks - [x + SMALL / 2, y + SMALL / 2]) < SMALL).all()


def test_a_large_hand_is_found_once(mediapipe_models: Path) -> None:
    picture = mannequin.draw(1, 512, hands=1, kind="right").picture
    (whole,) = detector(mediapipe_models, 1).detect(picture)
    for tiles in (2, 3):
        (hand,) = detector(mediapipe_models, tiles).detect(picture)
        assert hand.box == whole.box


def test_the_most_hands_count_for_all_tiles_together(mediapipe_models: Path, small_hands: np.ndarray) -> None:
    assert len(detector(mediapipe_models, 4, max_hands=2).detect(small_hands)) == 2


@given(st.integers(1, 2000), st.integers(1, 6))
def test_spans_cover_everything_and_stay_inside(length: int, count: int) -> None:
    covered = np.zeros(length, dtype=bool)
    for start, end in spans(length, count):
        assert 0 <= start < end <= length
        covered[start:end] = True
    assert covered.all()
    assert len(spans(length, count)) == count


@given(st.integers(300, 3000), st.integers(2, 6))
def test_neighbouring_spans_share_about_a_third(length: int, count: int) -> None:
    parts = spans(length, count)
    for (_, end), (start, other_end) in pairwise(parts):
        assert (end - start) / (other_end - start) == pytest.approx(1 / 3, abs=0.03)


def test_a_hand_that_a_tile_cuts_gives_way_to_the_whole_one() -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    picture[300, 300] = 255
    whole = Hand((280, 280, 40, 40), 0.6, "left", None)

    def search(part: np.ndarray) -> list[Hand]:
        if part.shape == picture.shape:
            return [whole]
        # A larger find of higher score, cut at all of the tile's borders.
        height, width = part.shape[:2]
        return [Hand((0, 0, width, height), 0.99, "left", None)] if part.any() else []

    assert search_with_tiles(picture, 2, search)[0] == whole
