"""HaGRID v1, v2 and v2-1M: people who show gestures. Kapitanov et al., 2024; Nuzhdin et al., 2024."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...hands.hand import LANDMARKS
from ..problems import Problems
from .boxes import usable_boxes
from .example import Example
from .faults import Fault, field, numbers, optional, place_in, read_json
from .files import matching, walk_pictures

LAYOUT = (
    "annotations/{train,val,test}/GESTURE.json or annotations/GESTURE.json, "
    "pictures in GESTURE/ID.jpg or {train,val,test}/GESTURE/ID.jpg"
)

ANNOTATIONS = ("annotations/*.json", "annotations/*/*.json", "ann_*/*.json", "*.json")
# v1's archives unpack into folders of which some carry their part's name before the gesture's.
PREFIXES = ("", "train_val_", "train_", "val_", "test_", "subsample_")

# Of a folder's name, the pictures' names without ending, and their files.
Pictures = dict[str, dict[str, str]]


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Pictures with all their hands, those without a gesture too; boxes and keypoints are shares.

    The side of a hand is not told with its keypoints, so each hand stands for itself, as the part "hand".
    """
    pictures = _pictures(folder, problems)
    for path in matching(folder, *ANNOTATIONS):
        place = place_in(folder, path)
        try:
            entries = read_json(path, dict)
            files = _files(pictures, path.stem, len(entries))
        except Fault as fault:
            fault.note(problems, place)
            continue
        for identifier, entry in entries.items():
            try:
                yield _example(identifier, entry, files, f"{place}, {identifier}", problems)
            except Fault as fault:
                fault.note(problems, f"{place}, {identifier}")


def _example(identifier: str, entry: Any, files: dict[str, str], place: str, problems: Problems) -> Example:
    boxes = field(entry, "bboxes", list)
    if identifier not in files:
        raise Fault("missing picture", f"no {identifier}.jpg, .jpeg or .png in the gesture's folder")
    return Example(
        picture=Path(files[identifier]),
        hands=usable_boxes(boxes, place, problems, 1, 1),
        unit="share",
        keypoints=tuple(_keypoints(entry, place, problems)),
        place=place,
    )


def _keypoints(entry: Any, place: str, problems: Problems) -> Iterator[dict[str, np.ndarray]]:
    """Each hand's joints; the list of a hand in which none were found is empty."""
    key = "hand_landmarks" if "hand_landmarks" in entry else "landmarks"
    for joints in optional(entry, key, list) or ():
        if not joints:
            continue
        try:
            seen = np.ones((LANDMARKS, 3), np.float32)
            seen[:, :2] = numbers(joints, (LANDMARKS, 2), key)
            yield {"hand": seen}
        except Fault as fault:
            problems.add("broken keypoints", place, fault.what)


def _pictures(folder: Path, problems: Problems) -> Pictures:
    found: Pictures = {}
    for place, names in walk_pictures(folder, problems):
        files = found.setdefault(place.name, {})
        for name in names:
            files.setdefault(os.path.splitext(name)[0], os.path.join(place, name))
    return found


def _files(pictures: Pictures, gesture: str, entries: int) -> dict[str, str]:
    """A gesture's pictures; a single Fault where none were downloaded, as they are many."""
    files: dict[str, str] = {}
    for prefix in reversed(PREFIXES):
        files.update(pictures.get(prefix + gesture, {}))
    if entries and not files:
        raise Fault("missing pictures", f"none of its {entries} pictures is there: no folder {gesture} has pictures")
    return files
