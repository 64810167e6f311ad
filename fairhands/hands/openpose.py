"""Hands out of POSE_KEYPOINT: the OpenPose JSON that pose detectors give in ComfyUI."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .hand import LANDMARKS, Hand, Side, box_around, by_score, clip_box
from .skeleton import box_of_flesh

SIDES: tuple[Side, ...] = ("left", "right")
FEWEST_POINTS = 4
# Coordinates relative to the canvas end at 1, a little more for joints outside; pixels go far beyond.
_LARGEST_RELATIVE = 2.0


def hands_from_pose(
    pose: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    batch: int,
    height: int,
    width: int,
    least_confidence: float = 0.3,
) -> list[list[Hand]]:
    """The hands of each picture of a batch, best score first, in pixels of pictures of this size.

    `pose`: a dictionary for each picture, or one for all of them; keypoints in pixels of its canvas or relative to it.
    Keypoints below `least_confidence` count as missing; a hand with fewer than 4 is left out, one with all 21 has
    landmarks (OpenPose's order is MediaPipe's), another only a box. Its score is the mean confidence.
    Raises ValueError where the number of pictures does not fit or keypoints are not triples.
    """
    pictures = [pose] if isinstance(pose, Mapping) else list(pose)
    if len(pictures) not in (1, batch):
        raise ValueError(
            f"pose_keypoint is for {len(pictures)} pictures, expected 1 or {batch}: detect the pose on this batch."
        )
    found = [_hands(picture, height, width, least_confidence) for picture in pictures]
    return found * (batch // len(found))


def _hands(picture: Mapping[str, Any], height: int, width: int, least_confidence: float) -> list[Hand]:
    raw = list(_keypoints(picture))
    scale = scale_of(picture, [triples for _, triples in raw], height, width)
    hands = [_hand(triples, side, scale, height, width, least_confidence) for side, triples in raw]
    return by_score(hand for hand in hands if hand)


def _keypoints(picture: Mapping[str, Any]) -> Iterator[tuple[Side, np.ndarray]]:
    """The side and the triples of each hand of each person; what is missing is None or not there at all."""
    for person in picture.get("people") or []:
        for side in SIDES:
            key = f"hand_{side}_keypoints_2d"
            if person.get(key):
                yield side, _triples(person[key], key)


def _triples(flat: Sequence[float], key: str) -> np.ndarray:
    """x, y, confidence: float32 `[N, 3]`."""
    values = np.nan_to_num(np.array(flat, dtype=np.float32))
    if values.size % 3 or values.size > LANDMARKS * 3:
        raise ValueError(f"{key} of pose_keypoint holds {values.size} numbers, expected x, y, confidence 21 times.")
    return values.reshape(-1, 3)


def scale_of(picture: Mapping[str, Any], triples: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """What makes pixels of a picture out of the keypoints' coordinates, float32 [2] for x and y.

    `picture`: says the canvas's size, where the keypoints are in pixels; `triples`: all of its keypoints, `[N, 3]`.
    """
    largest = max((float(points[:, :2].max()) for points in triples), default=0.0)
    if largest <= _LARGEST_RELATIVE:
        return np.array([width, height], dtype=np.float32)
    canvas = picture.get("canvas_width") or width, picture.get("canvas_height") or height
    return np.array([width / canvas[0], height / canvas[1]], dtype=np.float32)


def _hand(
    triples: np.ndarray, side: Side, scale: np.ndarray, height: int, width: int, least_confidence: float
) -> Hand | None:
    confidence = triples[:, 2]
    # Some sources leave a missing point at the origin and say nothing about it.
    valid = (confidence >= least_confidence) & (triples[:, :2] != 0).any(axis=1)
    if valid.sum() < FEWEST_POINTS:
        return None
    points = triples[:, :2] * scale
    whole = valid.all() and len(points) == LANDMARKS
    box = clip_box(box_of_flesh(points) if whole else box_around(points[valid]), width, height)
    score = min(float(confidence[valid].mean()), 1.0)
    return Hand(box, score, side, points if whole else None)
