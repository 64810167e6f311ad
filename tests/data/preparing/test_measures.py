"""Sharpness and looks of drawn hands."""

import cv2
import numpy as np
import pytest

from fairhands.data.mannequin import draw
from fairhands.data.preparing.cropping import as_tensor
from fairhands.data.preparing.measures import looks, sharpness, standard_look


def look(picture: np.ndarray, box: tuple) -> np.ndarray:
    return standard_look(as_tensor(picture), box)


def differing(one: np.ndarray, other: np.ndarray) -> int:
    return (looks(one) ^ looks(other)).bit_count()


@pytest.mark.parametrize("seed", range(4))
def test_blur_and_enlargement_make_a_hand_less_sharp(seed: int):
    scene = draw(seed, 256)
    as_drawn = sharpness(look(scene.picture, scene.boxes[0]))
    blurred = cv2.GaussianBlur(scene.picture, (0, 0), 3)
    assert sharpness(look(blurred, scene.boxes[0])) < as_drawn / 4
    small = cv2.resize(scene.picture, (32, 32), interpolation=cv2.INTER_AREA)
    assert sharpness(look(small, tuple(side / 8 for side in scene.boxes[0]))) < as_drawn / 2


def test_sharpness_compares_between_sizes():
    small, large = draw(1, 256), draw(1, 512)
    ratio = sharpness(look(large.picture, large.boxes[0])) / sharpness(look(small.picture, small.boxes[0]))
    assert 0.5 < ratio < 2


def test_a_flat_picture_has_no_sharpness():
    assert sharpness(look(np.full((50, 50, 3), 90, np.uint8), (10, 10, 20, 20))) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_looks_like_itself_in_another_size_and_light_and_not_like_another(seed: int):
    scene, other = draw(seed, 256), draw(seed + 50, 256)
    seen = look(scene.picture, scene.boxes[0])
    smaller = cv2.resize(scene.picture, (160, 160), interpolation=cv2.INTER_AREA)
    assert differing(seen, look(smaller, tuple(side * 160 / 256 for side in scene.boxes[0]))) <= 4
    assert differing(seen, look((scene.picture * 0.8).astype(np.uint8), scene.boxes[0])) <= 4
    assert differing(seen, look(other.picture, other.boxes[0])) > 12
