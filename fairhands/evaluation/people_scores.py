"""What pictures of people are scored by: detectors of hands and faces, and of the mannequin world's figures a judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ..hands.detector import FaceDetector, HandDetector
from .figures import drawn_figures, hand_crops
from .fingers import FingerJudge, is_right
from .measures import wilson_interval

RIGHT, HAND, FACE = "right_hand", "hand_confidence", "face_score"
SCORES = {
    RIGHT: "right hands, as the judge says",
    HAND: "score of the surest hand",
    FACE: "score of the surest face",
}
"""What a score is; each is of one picture, 0 where nothing is found."""

LEAST_ACCURACY = 0.95
TRIED_ON = 128
AT_ONCE = 8
FIRST_TRIED_SEED = 8 * 10**12  # beyond every seed that anything is trained with


class JudgeError(ValueError):
    """A judge that does not know figures; its text says what would do."""


@dataclass(frozen=True)
class Scorer:
    """Scores pictures.

    Args:
        hands, faces: the detectors; None: no such score.
        judge: of figures' raised hands; None: no such score.
    """

    hands: HandDetector | None = None
    faces: FaceDetector | None = None
    judge: FingerJudge | None = None

    def scores(self, pictures: Tensor) -> dict[str, list[float]]:
        """Scores by name, one for each picture, all in 0..1.

        Args:
            pictures: float [N, 3, H, W] in 0..1.
        """
        found: dict[str, list[float]] = {}
        if self.judge is not None:
            found[RIGHT] = is_right(self.judge.verdicts(hand_crops(pictures))).float().tolist()
        shown = pictures.permute(0, 2, 3, 1)
        if self.hands is not None:
            found[HAND] = [_surest(hands) for hands in self.hands.detect_batch(shown)]
        if self.faces is not None:
            found[FACE] = [_surest(faces) for faces in self.faces.detect_batch(shown)]
        return found


def _surest(found: Sequence) -> float:
    return max((one.score for one in found), default=0.0)


def check_judge(judge: FingerJudge, seen: Callable[[Tensor], Tensor], size: int) -> float:
    """How often the judge tells right from wrong hands of drawn figures.

    Args:
        judge: the judge.
        seen: what the autoencoder makes of pictures, float [N, 3, S, S] in 0..1 in and out.
        size: of the figures, S.

    Raises:
        JudgeError: it is right too seldom.
    """
    pictures, truth = drawn_figures(FIRST_TRIED_SEED, TRIED_ON, size)
    verdicts = torch.cat([judge.verdicts(hand_crops(seen(part))) for part in pictures.split(AT_ONCE)])
    accuracy = float((is_right(verdicts) == is_right(truth)).float().mean())
    if accuracy < LEAST_ACCURACY:
        raise JudgeError(
            f"the judge is right about {accuracy:.0%} of drawn figures' hands, at least {LEAST_ACCURACY:.0%} is "
            "wanted, as weights/finger_judge.safetensors reaches"
        )
    return accuracy


def score_with_interval(scores: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The mean and its 95% interval: Wilson's where all scores are 0 or 1, else the normal distribution's."""
    if all(score in (0.0, 1.0) for score in scores):
        return sum(scores) / len(scores), wilson_interval(round(sum(scores)), len(scores))
    return mean_with_interval(scores)


def mean_with_interval(values: Sequence[float], z: float = 1.96) -> tuple[float, tuple[float, float]]:
    """The mean and its normal interval, at 95% for the default z."""
    count = len(values)
    mean = sum(values) / count
    half = z * sqrt(sum((value - mean) ** 2 for value in values) / max(1, count - 1) / count)
    return mean, (mean - half, mean + half)
