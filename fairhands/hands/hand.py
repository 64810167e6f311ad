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
# ... unless the boxes are alike (this share in area) and the palms further apart than this share of the box's side.
LIKE_SIZE = 0.3
SAME_PALM = 0.3


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand in a picture.

    `box` holds the flesh, not only the joints, and is clipped to the picture; `score` is MediaPipe's handedness
    score, 0..1: how sure it is of the side, which the papers report as hand confidence; `side` is the person's own
    left or right in an unmirrored photo; `landmarks` are the 21 joints in MediaPipe's order, float32 `[21, 2]`
    pixels, or None where only a box is known.
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


def same_hand(one: Hand, other: Hand) -> bool:
    """Whether two finds are of one hand: the smaller box lies mostly in the larger one.

    Hands can interlock, and then their boxes lie so too; palms of like size in different places tell them apart.
    """
    if share_covered(one.box, other.box) <= SAME_HAND_SHARE:
        return False
    if one.landmarks is None or other.landmarks is None:
        return True
    smaller, larger = sorted((area(one.box), area(other.box)))
    apart = np.linalg.norm(_palm_centre(one.landmarks) - _palm_centre(other.landmarks))
    return smaller < LIKE_SIZE * larger or bool(apart < SAME_PALM * smaller**0.5)


def sureness(hand: Hand) -> float:
    """Score times size: a hand found in part is smaller than when found whole, and its score is often as high."""
    return hand.score * area(hand.box) ** 0.5


def keep_first(ranked: Iterable[Hand]) -> list[Hand]:
    """The first find of each hand."""
    kept: list[Hand] = []
    for hand in ranked:
        if not any(same_hand(hand, other) for other in kept):
            kept.append(hand)
    return kept


def by_score(hands: Iterable[Hand]) -> list[Hand]:
    """Hands, best score first."""
    return sorted(hands, key=lambda hand: hand.score, reverse=True)


def merge(hands: Iterable[Hand]) -> list[Hand]:
    """One hand for each group of finds that are the same hand, its surest; best score first."""
    return by_score(keep_first(sorted(hands, key=sureness, reverse=True)))


def _palm_centre(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[[0, 5, 9, 13, 17]].mean(axis=0)
