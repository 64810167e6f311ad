from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairhands.evaluation.figures import drawn_figures
from fairhands.evaluation.fingers import INPUT_SIZE, VERDICTS, FingerJudge
from fairhands.evaluation.measures import wilson_interval
from fairhands.evaluation.people_scores import (
    FACE,
    HAND,
    RIGHT,
    JudgeError,
    Scorer,
    check_judge,
    mean_with_interval,
    score_with_interval,
)
from fairhands.hands import files
from fairhands.hands.detector import FaceDetector, HandDetector


class Oracle(FingerJudge):
    """Says what it is told."""

    def __init__(self, said: Tensor) -> None:
        super().__init__()
        self.said = said

    def verdicts(self, pictures: Tensor) -> Tensor:
        assert pictures.shape[1:] == (3, INPUT_SIZE, INPUT_SIZE)
        return self.said[: len(pictures)]


def test_figures_score_high_and_a_wall_scores_nothing(mediapipe_models: Path, hand_detector: HandDetector) -> None:
    figures, _ = drawn_figures(50, 2, 192)
    pictures = torch.cat([figures, torch.full_like(figures, 0.5)])
    with FaceDetector(files.find(mediapipe_models, files.FACE_DETECTOR)) as faces:
        scores = Scorer(hand_detector, faces).scores(pictures)
    assert set(scores) == {HAND, FACE}
    for values in scores.values():
        assert min(values[:2]) > 0.5
        assert values[2:] == [0.0, 0.0]


def test_the_judge_is_shown_hands_and_counts_right_ones() -> None:
    said = torch.tensor([VERDICTS.index(name) for name in ("right", "no_hand", "six_fingers")])
    assert Scorer(judge=Oracle(said)).scores(torch.rand(3, 3, 192, 192)) == {RIGHT: [1.0, 0.0, 0.0]}


def test_a_judge_that_does_not_know_figures_is_refused() -> None:
    with pytest.raises(JudgeError, match=r"right about \d+% of drawn figures' hands, .* as weights/finger_judge"):
        check_judge(FingerJudge().eval(), lambda pictures: pictures, 128)


def test_a_judge_is_tried_on_what_the_autoencoder_makes_of_figures() -> None:
    figures, verdicts = drawn_figures(8 * 10**12, 128, 64)
    shown: list[Tensor] = []

    def seen(pictures: Tensor) -> Tensor:
        shown.append(pictures)
        return pictures * 0 + 0.5

    class Grey(Oracle):
        def verdicts(self, pictures: Tensor) -> Tensor:
            assert torch.allclose(pictures, torch.tensor(0.5)), "it sees what the autoencoder makes of figures"
            start = 8 * (len(shown) - 1)
            return self.said[start : start + len(pictures)]

    with pytest.raises(JudgeError):
        check_judge(Grey(torch.full((128,), VERDICTS.index("right"))), seen, 64)
    assert torch.equal(torch.cat(shown), figures)
    shown.clear()
    assert check_judge(Grey(verdicts), seen, 64) == 1.0


def test_a_mean_lies_within_its_interval() -> None:
    mean, (low, high) = mean_with_interval([0.2, 0.4, 0.9, 0.5])
    assert mean == pytest.approx(0.5)
    half = 1.96 * (0.26 / 3 / 4) ** 0.5
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))
    assert mean_with_interval([0.3]) == (0.3, (0.3, 0.3))


def test_rates_have_wilsons_interval_and_other_scores_the_normal_one() -> None:
    assert score_with_interval([1.0, 0.0, 1.0, 1.0]) == (0.75, wilson_interval(3, 4))
    assert score_with_interval([0.5, 1.0]) == mean_with_interval([0.5, 1.0])
