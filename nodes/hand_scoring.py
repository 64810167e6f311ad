"""What Hand Score does: hands found or given, judged picture by picture, and the judgement in pictures and words."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch

from ..fairhands.critic.network import Critic
from ..fairhands.critic.scoring import hand_scores
from ..fairhands.hands.boxes import Entry, as_entry, box_of, given_boxes
from ..fairhands.hands.detector import HandDetector
from ..fairhands.hands.ranking import ImageScore, NoHand, image_score, ranking
from ..fairhands.hands.score_preview import draw_scores

# The hands of a picture, by its place in the batch and its pixels.
Find = Callable[[int, np.ndarray], list[Entry]]


def by_detector(detector: HandDetector) -> Find:
    """Find hands by looking for them."""
    return lambda _, picture: [as_entry(hand) for hand in detector.detect(picture)]


def among_given(boxes: Any, pictures: int, height: int, width: int) -> tuple[Find, int]:
    """Take the hands from a BOUNDING_BOX input; and how many boxes were left out.

    Raises ValueError for what is no such input.
    """
    given = given_boxes(boxes, pictures, height, width)
    return (lambda place, _: given.of_pictures[place]), given.left_out


def judge(
    critic: Critic, pictures: Iterable[np.ndarray], find: Find, text: torch.Tensor | None, count: int
) -> list[list[Entry]]:
    """The hands of each of `count` pictures (uint8 RGB `[H, W, 3]`), with their scores; can be interrupted between."""
    progress = comfy.utils.ProgressBar(count)
    judged: list[list[Entry]] = []
    for place, picture in enumerate(pictures):
        comfy.model_management.throw_exception_if_processing_interrupted()
        hands = find(place, picture)
        floats = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        scores = hand_scores(critic, floats, [box_of(hand) for hand in hands], text)
        judged.append([{**hand, "score": score} for hand, score in zip(hands, scores, strict=True)])
        progress.update(1)
    return judged


@dataclass
class Judgement:
    """The hands of each picture with their scores, and what follows from them.

    `judged_by`: the text that the critic judged by, in words. `left_out`: boxes that lay in no picture.
    """

    hands: list[list[Entry]]
    image_score: ImageScore
    no_hand: NoHand
    judged_by: str
    left_out: int

    def __post_init__(self) -> None:
        self.scores = [image_score([hand["score"] for hand in some], self.image_score) for some in self.hands]
        self.ranking = ranking(self.scores, self.no_hand)
        self.best = self.ranking[0]

    @property
    def best_score(self) -> float:
        """0..1; for a picture without any hand 0 where such rank last, 1 where they rank first."""
        score = self.scores[self.best]
        return float(self.no_hand == "first") if score is None else score

    def drawn(self, pictures: Iterable[np.ndarray]) -> torch.Tensor:
        """The pictures (uint8 RGB) with their scores, the best one marked; float32 `[B, H, W, 3]`."""
        drawn = [
            draw_scores(
                picture,
                [box_of(hand) for hand in self.hands[place]],
                [hand["score"] for hand in self.hands[place]],
                self._caption(place),
                place == self.best,
            )
            for place, picture in enumerate(pictures)
        ]
        return torch.stack(drawn)

    def _caption(self, place: int) -> str:
        score = self.scores[place]
        words = "no hand" if score is None else f"{score:.2f}"
        return f"best {words}" if place == self.best else words

    def sentence(self) -> str:
        """The result in a line for the node."""
        score = self.scores[self.best]
        words = "no hand" if score is None else f"score {score:.2f}"
        return "\n".join([f"best: picture {self.best + 1} of {len(self.hands)}, {words}", *self.notes()])

    def notes(self) -> list[str]:
        """What is worth knowing about how the result came about."""
        notes = []
        if not any(self.hands):
            notes.append("No picture shows a hand, so the first one is taken.")
        if self.left_out:
            notes.append(f"Boxes left out because they lie in no picture: {self.left_out}.")
        return notes

    def report(self) -> str:
        """Everything as JSON."""
        images = [{"score": score, "hands": hands} for score, hands in zip(self.scores, self.hands, strict=True)]
        told = {
            "best": self.best,
            "best_score": self.best_score,
            "ranking": self.ranking,
            "image_score": self.image_score,
            "no_hand": self.no_hand,
            "judged_by": self.judged_by,
            "notes": self.notes(),
            "images": images,
        }
        return json.dumps(told, indent=2, default=str)
