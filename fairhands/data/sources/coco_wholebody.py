"""COCO-WholeBody: people with body, feet, face and hands annotated. Jin et al., 2020."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...hands.hand import Box
from ..problems import Problems
from .boxes import usable_boxes
from .coco import Annotated, annotated_pictures
from .example import Example
from .faults import Fault, field, numbers, place_in, read_json
from .files import existing, find_picture, matching

LAYOUT = (
    "annotations/coco_wholebody_{train,val}_v1.0.json, pictures in train2017/ and val2017/, or in images/ with these"
)

ANNOTATIONS = ("annotations/*wholebody*.json", "*wholebody*.json")
# Of each part: its key, how many keypoints it has, and the key that says whether they were annotated.
PARTS = {
    "body": ("keypoints", 17, ""),
    "feet": ("foot_kpts", 6, "foot_valid"),
    "face": ("face_kpts", 68, "face_valid"),
    "left_hand": ("lefthand_kpts", 21, "lefthand_valid"),
    "right_hand": ("righthand_kpts", 21, "righthand_valid"),
}


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Pictures with at least one person, with all the people's hands, faces and keypoints in pixels.

    Hands and faces that are too small or blurred to be told are not annotated, and have no box here.
    """
    for path in matching(folder, *ANNOTATIONS):
        place = place_in(folder, path)
        try:
            pictures = annotated_pictures(read_json(path, dict), place, problems)
        except Fault as fault:
            fault.note(problems, place)
            continue
        folders = _picture_folders(folder, path.stem)
        for picture in pictures:
            try:
                yield _example(picture, folders, problems)
            except Fault as fault:
                fault.note(problems, picture.place)


def _picture_folders(folder: Path, name: str) -> tuple[Path, ...]:
    split = "val2017" if "val" in name else "train2017"
    return existing(folder, split, f"images/{split}", "images", "")


def _example(picture: Annotated, folders: tuple[Path, ...], problems: Problems) -> Example:
    path = find_picture(folders, picture.name)
    hands: list[Box] = []
    faces: list[Box] = []
    people = []
    for place, person in picture.annotations:
        hands.extend(_boxes(person, ("lefthand", "righthand"), picture, place, problems))
        faces.extend(_boxes(person, ("face",), picture, place, problems))
        people.append(_keypoints(person, place, problems))
    return Example(
        picture=path,
        hands=tuple(hands),
        faces=tuple(faces),
        keypoints=tuple(keypoints for keypoints in people if keypoints),
        place=picture.place,
    )


def _boxes(person: Any, parts: tuple[str, ...], picture: Annotated, place: str, problems: Problems) -> tuple[Box, ...]:
    """The boxes of those parts that were annotated."""
    boxes = []
    for part in parts:
        try:
            if _is_valid(person, f"{part}_valid"):
                boxes.append(field(person, f"{part}_box", list))
        except Fault as fault:
            fault.note(problems, place)
    return usable_boxes(boxes, place, problems, picture.width, picture.height)


def _keypoints(person: Any, place: str, problems: Problems) -> dict[str, np.ndarray]:
    """A person's keypoints by part; parts of which nothing is seen are left out."""
    parts = {}
    for part, (key, count, valid) in PARTS.items():
        try:
            if not valid or _is_valid(person, valid):
                keypoints = numbers(field(person, key, list), (3 * count,), key).reshape(count, 3)
                if (keypoints[:, 2] > 0).any():
                    parts[part] = keypoints.astype(np.float32)
        except Fault as fault:
            problems.add("broken keypoints", place, fault.what)
    return parts


def _is_valid(person: Any, key: str) -> bool:
    if key not in person:
        raise Fault("broken entry", f"{key} is missing")
    return bool(person[key])
