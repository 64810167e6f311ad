"""What a detector finds: hands and faces, and the geometry of their boxes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

# x and y of the upper left corner, width, height; pixels.
Box = tuple[float, float, float, float]
Side = Literal["left", "right"]

LANDMARKS = 21
# Two finds are the same hand where the smaller box is covered by more than this share.
SAME_HAND_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand in a picture.

    `box` is clipped to the picture; `score` is MediaPipe's handedness score, 0..1: how sure it is of the side, which
    the papers report as hand confidence; `side` is the person's own left or right in an unmirrored photo;
    `landmarks` are the 21 joints in MediaPipe's order, float32 `[21, 2]` pixels, or None where only a box is known.
    """

    box: Box
    score: float
    side: Side
    landmarks: np.ndarray | None


@dataclass(frozen=True)
class Face:
    """One face in a picture: a box clipped to it, and the detector's score, 0..1."""

    box: Box
    score: float


def box_around(points: np.ndarray) -> Box:
    """The smallest box that holds points `[N, 2]`."""
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def clip_box(box: Box, width: float, height: float) -> Box:
    """The part of a box that lies in a picture; its sides are 0 where none does."""
    x, y, box_width, box_height = box
    left, top = min(max(x, 0.0), width), min(max(y, 0.0), height)
    right, bottom = min(max(x + box_width, 0.0), width), min(max(y + box_height, 0.0), height)
    return left, top, right - left, bottom - top


def area(box: Box) -> float:
    """Pixels in a box."""
    return box[2] * box[3]


def intersection(one: Box, other: Box) -> float:
    """Pixels that two boxes share."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def share_covered(one: Box, other: Box) -> float:
    """How much of the smaller of two boxes the larger one covers, 0..1."""
    smaller = min(area(one), area(other))
    return intersection(one, other) / smaller if smaller > 0 else 0.0


def merge(hands: Iterable[Hand]) -> list[Hand]:
    """One hand for each group of finds that overlap: the one with the best score times size.

    Size counts because a tile's border cuts hands, and a cut hand is often found with a high score.
    """
    kept: list[Hand] = []
    for hand in sorted(hands, key=lambda hand: hand.score * area(hand.box) ** 0.5, reverse=True):
        if all(share_covered(hand.box, other.box) <= SAME_HAND_SHARE for other in kept):
            kept.append(hand)
    return sorted(kept, key=lambda hand: hand.score, reverse=True)
