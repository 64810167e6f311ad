import numpy as np
import pytest
import torch

from fairhands.hands.score_preview import GOLD, GREY, draw_scores, score_colour

BOX = (20, 30, 40, 30)
GREYISH = np.full((128, 128, 3), 100, dtype=np.uint8)


def drawn(*scores: float, best: bool = False, caption: str = "0.50") -> np.ndarray:
    """The bytes of a grey picture with that box for each score."""
    picture = draw_scores(GREYISH, [BOX] * len(scores), scores, caption, best)
    return (picture.numpy() * 255).round().astype(np.uint8)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(-1).any())


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (16, 16), (64, 96), (1500, 1000)])
@pytest.mark.parametrize("best", [True, False])
def test_a_preview_is_a_picture_of_the_same_size(size: tuple[int, int], best: bool) -> None:
    preview = draw_scores(np.zeros((*size, 3), np.uint8), [BOX, (0, 0, 2000, 2000)], [0.0, 1.0], "no hand", best)
    assert preview.shape == (*size, 3)
    assert preview.dtype == torch.float32
    assert preview.min() >= 0
    assert preview.max() <= 1


def test_the_colour_goes_from_red_to_green_with_the_score() -> None:
    colours = [score_colour(step / 20) for step in range(21)]
    assert colours[0][0] == 255
    assert colours[-1][1] == 255
    redness = [red - green for red, green, _ in colours]
    assert redness == sorted(redness, reverse=True)
    assert len(set(redness)) == 21


@pytest.mark.parametrize("score", [0.0, 0.3, 0.97])
def test_a_box_has_the_colour_of_its_score_at_its_border_and_leaves_the_hand_alone(score: float) -> None:
    picture = drawn(score)
    assert tuple(picture[59, 40]) == score_colour(score)
    assert (picture[45:55, 30:50] == 100).all()


def test_another_score_is_written_in_other_letters() -> None:
    letters = [(drawn(score) < 60).all(-1) for score in (0.12, 0.93)]
    assert not np.array_equal(*letters)


def test_the_best_picture_alone_has_a_golden_frame() -> None:
    best, other = drawn(0.5, best=True), drawn(0.5)
    assert (best[0] == GOLD).all()
    assert (best[:, -1] == GOLD).all()
    assert not has(other, GOLD)
    assert has(other, GREY)


def test_the_picture_itself_is_left_alone_and_the_rest_of_it_shown_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    before = picture.copy()
    preview = draw_scores(picture, [BOX], [0.5], "0.50", True)
    assert np.array_equal(picture, before)
    assert np.array_equal((preview.numpy() * 255).round()[75:100, 70:120], before[75:100, 70:120])


def test_letters_grow_with_the_picture() -> None:
    heights = []
    for size in (256, 512, 1024):
        picture = draw_scores(np.zeros((size, size, 3), np.uint8), [], [], "0.50", False).numpy() * 255
        heights.append(int((picture.round() == GREY).all(-1).any(1).sum()) / size)
    assert max(heights) < 1.2 * min(heights)
    assert 0.03 < min(heights) < 0.08
