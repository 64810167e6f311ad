"""FreiHAND: one right hand a picture, with its joints in space. Zimmermann et al., 2019."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...hands.hand import LANDMARKS, Box
from ...hands.skeleton import box_of_flesh
from ..problems import Problems
from .boxes import usable_boxes
from .example import Example
from .faults import Fault, numbers, place_in, read_json
from .files import existing, walk_pictures

LAYOUT = (
    "training_K.json and training_xyz.json, pictures in training/rgb/00000000.jpg; evaluation likewise where present"
)

SPLITS = ("training", "evaluation")

# A hand's box around its flesh, pixels, and its joints, float32 [21, 3].
Projected = tuple[tuple[Box, ...], np.ndarray]


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Pictures with the box around the joints and their flesh, and the joints, in pixels.

    The box is larger than the joints' own by 0.28 lengths of the palm at the wrist and 0.1 to 0.17 at the other
    joints (`fairhands/hands/skeleton.py`). Picture i shows the hand of annotation i modulo their number: the pictures
    are there several times, each time before other backgrounds.
    """
    for split in SPLITS:
        annotations = folder / f"{split}_xyz.json"
        if annotations.is_file():
            try:
                pairs = _pairs(folder, split)
                pictures = _pictures(folder, split, problems)
            except Fault as fault:
                fault.note(problems, annotations.name)
                continue
            yield from _examples(pictures, pairs, annotations.name, problems)


def _pairs(folder: Path, split: str) -> list[tuple[Any, Any]]:
    """Camera and joints of each annotation."""
    cameras = read_json(folder / f"{split}_K.json", list)
    joints = read_json(folder / f"{split}_xyz.json", list)
    if len(cameras) != len(joints):
        raise Fault("broken file", f"it has {len(joints)} entries, but {split}_K.json has {len(cameras)}")
    if not joints:
        raise Fault("broken file", "it has no entries")
    return list(zip(cameras, joints, strict=True))


def _pictures(folder: Path, split: str, problems: Problems) -> dict[int, Path]:
    """The pictures by number."""
    folders = existing(folder, f"{split}/rgb")
    if not folders:
        raise Fault("missing pictures", f"none of its pictures is there: no folder {split}/rgb")
    found: dict[int, Path] = {}
    for place, names in walk_pictures(folders[0], problems):
        for name in names:
            path = place / name
            if path.stem.isdecimal():
                found[int(path.stem)] = path
            else:
                problems.add("picture without a number", place_in(folder, path), "expected a name like 00000000.jpg")
    return found


def _examples(
    pictures: dict[int, Path], pairs: list[tuple[Any, Any]], name: str, problems: Problems
) -> Iterator[Example]:
    shown: dict[int, list[Path]] = {}
    for number in sorted(pictures):
        shown.setdefault(number % len(pairs), []).append(pictures[number])
    for entry, (camera, joints) in enumerate(pairs):
        place = f"{name}, entry {entry}"
        try:
            if entry not in shown:
                raise Fault("missing picture", f"no {entry:08}.jpg")
            hands, landmarks = _project(camera, joints, place, problems)
        except Fault as fault:
            fault.note(problems, place)
            continue
        for path in shown[entry]:
            yield Example(picture=path, hands=hands, keypoints=({"right_hand": landmarks},), place=place)


def _project(camera: Any, joints: Any, place: str, problems: Problems) -> Projected:
    """Where the camera sees the joints: uv = K xyz / z."""
    seen = numbers(joints, (LANDMARKS, 3), "xyz") @ numbers(camera, (3, 3), "K").T
    if (seen[:, 2] <= 0).any():
        raise Fault("broken entry", "a joint lies behind the camera")
    landmarks = np.ones((LANDMARKS, 3), np.float32)
    landmarks[:, :2] = numbers(seen[:, :2] / seen[:, 2:], (LANDMARKS, 2), "K xyz / z")
    return usable_boxes([box_of_flesh(landmarks[:, :2])], place, problems), landmarks
