"""People's keypoints in OpenPose's order, from a dataset's annotations or from POSE_KEYPOINT files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...hands.hand import LANDMARKS
from ...hands.openpose import scale_of
from ..sources import faults
from ..sources.example import Example
from ..sources.faults import Fault, numbers, optional, shown

# OpenPose's 18 points of a body: nose, neck, right shoulder, elbow, wrist, the same left, right hip, knee, ankle, the
# same left, right eye, left eye, right ear, left ear.
BODY = 18
NECK, SHOULDERS = 1, (2, 5)
# Where each of them is among COCO's 17 (the neck is none of those) and among the 25 of OpenPose's later body.
FROM_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
FROM_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
COCO, BODY_25 = 17, 25

BODY_KEY, FACE_KEY = "pose_keypoints_2d", "face_keypoints_2d"
HAND_KEYS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
MOST_FACE_POINTS = 70


@dataclass(frozen=True, eq=False)
class Skeleton:
    """One person's keypoints in pixels, float32 [K, 3]: x, y, and whether the point is there (above 0).

    `body`: OpenPose's 18, or None; `hands`: 21 each; `face`: any number, or None.
    """

    body: np.ndarray | None
    hands: tuple[np.ndarray, ...] = ()
    face: np.ndarray | None = None

    @property
    def is_there(self) -> bool:
        """Whether any point is."""
        return any((points[:, 2] > 0).any() for points in (self.body, *self.hands, self.face) if points is not None)


def body_of_coco(points: np.ndarray) -> np.ndarray:
    """COCO's 17 points of a body as OpenPose's 18: the neck is midway between the shoulders where both are there."""
    body = points[list(FROM_COCO)].copy()
    shoulders = body[list(SHOULDERS)]
    body[NECK] = shoulders.mean(axis=0)
    body[NECK, 2] = shoulders[:, 2].min()
    return body


def annotated_skeletons(example: Example, width: int, height: int) -> list[Skeleton]:
    """The people whose bodies a dataset annotates, in pixels of a picture of that size; hands alone are no pose."""
    scale = np.array([width, height, 1] if example.unit == "share" else [1, 1, 1], np.float32)
    return [_annotated(person, scale) for person in example.keypoints if "body" in person]


def _annotated(person: Mapping[str, np.ndarray], scale: np.ndarray) -> Skeleton:
    hands = tuple(person[part] * scale for part in ("left_hand", "right_hand", "hand") if part in person)
    face = person["face"] * scale if "face" in person else None
    return Skeleton(body_of_coco(person["body"] * scale), hands, face)


def file_beside(picture: Path) -> Path | None:
    """The file of a picture's poses, as ComfyUI's detectors and OpenPose name it; None where there is none."""
    names = (picture.with_suffix(".json"), picture.with_name(f"{picture.stem}_keypoints.json"))
    return next((path for path in names if path.is_file()), None)


def read_skeletons(path: Path, width: int, height: int, least_confidence: float) -> list[Skeleton]:
    """The people of a POSE_KEYPOINT file, in pixels of a picture of that size; keypoints may be relative to it.

    Raises:
        Fault: it is no such file, or something in it is broken.
    """
    picture = _content(path)
    people = optional(picture, "people", list)
    if people is None:
        raise Fault("broken pose", f"{shown(picture)}, expected an object with people")
    read = [_Person(person) for person in people]
    everything = [points for person in read for points in person.all()]
    canvas = {key: optional(picture, key, int) for key in ("canvas_width", "canvas_height")}
    if any(side is not None and side < 1 for side in canvas.values()):
        raise Fault("broken pose", f"the canvas is {canvas['canvas_width']} x {canvas['canvas_height']}")
    scale = scale_of(canvas, everything, height, width)
    return [person.skeleton(scale, least_confidence) for person in read]


def _content(path: Path) -> dict[str, Any]:
    """What describes one picture: ComfyUI writes a list with an object for each picture of a batch."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Fault("unreadable file", str(error)) from error
    if not content.lstrip().startswith(b"["):
        return faults.parsed(content, dict, "broken pose")
    pictures = faults.parsed(content, list, "broken pose")
    if len(pictures) != 1 or not isinstance(pictures[0], dict):
        raise Fault("broken pose", f"{len(pictures)} entries, expected one object for one picture")
    return pictures[0]


class _Person:
    """One entry of `people`: its triples of x, y and confidence by part."""

    def __init__(self, person: Any) -> None:
        self.body = _body(_triples(person, BODY_KEY))
        self.face = _triples(person, FACE_KEY)
        self.hands = [points for key in HAND_KEYS if (points := _triples(person, key)) is not None]
        for points in self.hands:
            if len(points) != LANDMARKS:
                raise Fault("broken pose", f"a hand has {len(points)} points, expected {LANDMARKS}")
        if self.face is not None and len(self.face) > MOST_FACE_POINTS:
            raise Fault("broken pose", f"a face has {len(self.face)} points, expected {MOST_FACE_POINTS} at most")

    def all(self) -> Iterator[np.ndarray]:
        yield from (points for points in (self.body, self.face, *self.hands) if points is not None)

    def skeleton(self, scale: np.ndarray, least_confidence: float) -> Skeleton:
        hands = tuple(_placed(points, scale, least_confidence) for points in self.hands)
        body = None if self.body is None else _placed(self.body, scale, least_confidence)
        return Skeleton(body, hands, None if self.face is None else _placed(self.face, scale, least_confidence))


def _triples(person: Any, key: str) -> np.ndarray | None:
    """x, y, confidence, float32 [K, 3]; None where the part is missing, null or empty."""
    values: Sequence[Any] | None = optional(person, key, list)
    if not values:
        return None
    if len(values) % 3:
        raise Fault("broken pose", f"{key} holds {len(values)} numbers, expected x, y and confidence of each point")
    return numbers(values, (len(values),), key).reshape(-1, 3).astype(np.float32)


def _body(points: np.ndarray | None) -> np.ndarray | None:
    """A body of any of the three orders in that of 18 points."""
    if points is None or len(points) == BODY:
        return points
    if len(points) == COCO:
        return body_of_coco(points)
    if len(points) == BODY_25:
        return points[list(FROM_BODY_25)]
    raise Fault("broken pose", f"a body has {len(points)} points, expected {BODY}, {COCO} or {BODY_25}")


def _placed(points: np.ndarray, scale: np.ndarray, least_confidence: float) -> np.ndarray:
    """In pixels; what is unsure, or was left at the origin, is not there."""
    there = (points[:, 2] >= least_confidence) & (points[:, 2] > 0) & (points[:, :2] != 0).any(axis=1)
    return np.concatenate([points[:, :2] * scale, there[:, None]], axis=1).astype(np.float32)
