"""The stages that make what a ControlNet is shown with each picture: its poses and its depth."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..depth import DepthEstimator, depth_picture
from ..preparing.pieces import Pieces
from ..preparing.reading import read_picture
from ..preparing.records import file_state, rows_of, write_piece
from ..problems import Problems
from ..sources.faults import Fault
from .pictures import fitted, write_png
from .pose_map import draw_poses
from .records import Made, Seen
from .settings import PoseSettings
from .skeletons import Skeleton, annotated_skeletons, file_beside, read_skeletons

PICTURES_IN_PIECE = 64

# Draws one map of a picture, None where there is nothing to draw it from.
Draw = Callable[[Seen, Problems], Image.Image | None]


def make_pose_maps(title: str, people: Sequence[Seen], settings: PoseSettings, given: bool, pieces: Pieces) -> None:
    """Make the pieces of this stage: a picture of the poses, and a row, for each picture of people that has some.

    `given`: whether the datasets' conditioning pictures are poses.
    """
    draw = partial(_pose, settings=settings, given=given)
    pieces.make(title, people, _described_with_poses, partial(_make_piece, draw=draw))


def make_depth_maps(
    title: str, people: Sequence[Seen], load: Callable[[], DepthEstimator] | None, given: bool, pieces: Pieces
) -> None:
    """Make the pieces of this stage: a picture of the depth, and a row, for each picture of people.

    Args:
        title: for the progress bar.
        people: the pictures.
        load: gives the model; asked only where a picture needs it. None: only given ones are taken.
        given: whether the datasets' conditioning pictures are depths.
        pieces: the stage; its settings should hold what tells the model from others.
    """
    draw = partial(_depth, load=None if load is None else cache(load), given=given)
    pieces.make(title, people, _described, partial(_make_piece, draw=draw))


def maps_of(pieces: Pieces) -> dict[str, Made]:
    """The maps in all pieces of a stage by the pictures' keys."""
    return {row["key"]: Made(folder / row["file"], row["sha256"]) for folder, row in rows_of(pieces)}


def _described(seen: Seen) -> list[Any]:
    given = seen.picture.example.conditioning
    return [*seen.picture.described(), seen.width, seen.height, given and file_state(given)]


def _described_with_poses(seen: Seen) -> list[Any]:
    example = seen.picture.example
    beside = file_beside(example.picture)
    people = [{part: points.tolist() for part, points in person.items()} for person in example.keypoints]
    return [*_described(seen), beside and file_state(beside), people]


def _make_piece(people: Sequence[Seen], folder: Path, draw: Draw) -> None:
    problems, rows = Problems(), []
    for seen in people:
        picture = draw(seen, problems)
        if picture is not None:
            name = f"{seen.picture.key}.png"
            rows.append({"key": seen.picture.key, "file": name, "sha256": write_png(picture, folder / name)})
    write_piece(folder, rows, problems)


def _pose(seen: Seen, problems: Problems, settings: PoseSettings, given: bool) -> Image.Image | None:
    for source in settings.sources:
        if source == "dataset":
            picture = _given(seen, problems) if given else None
            if picture is not None:
                return picture
        elif skeletons := _skeletons(source, seen, settings, problems):
            drawn = draw_poses(skeletons, seen.width, seen.height, hands=settings.hands, face=settings.face)
            return Image.fromarray(drawn)
    return None


def _skeletons(source: str, seen: Seen, settings: PoseSettings, problems: Problems) -> list[Skeleton]:
    """The people of a picture by that source, without those of whom nothing is there."""
    example = seen.picture.example
    if source == "keypoints":
        return annotated_skeletons(example, seen.width, seen.height)
    path = file_beside(example.picture)
    if path is None:
        return []
    try:
        people = read_skeletons(path, seen.width, seen.height, settings.least_confidence)
    except Fault as fault:
        fault.note(problems, str(path))
        return []
    return [person for person in people if person.is_there]


def _depth(
    seen: Seen, problems: Problems, load: Callable[[], DepthEstimator] | None, given: bool
) -> Image.Image | None:
    picture = _given(seen, problems) if given else None
    if picture is not None or load is None:
        return picture
    pixels = read_picture(seen.picture.example.picture, problems)
    if pixels is None:
        return None
    nearness: np.ndarray = load()(Image.fromarray(pixels))
    try:
        return Image.fromarray(depth_picture(nearness))
    except ValueError as error:
        problems.add("no depth", seen.picture.example.picture, str(error))
        return None


def _given(seen: Seen, problems: Problems) -> Image.Image | None:
    """The picture that the dataset has for a ControlNet."""
    path = seen.picture.example.conditioning
    if path is None:
        return None
    try:
        return fitted(path, (seen.width, seen.height), "RGB")
    except Fault as fault:
        fault.note(problems, str(path))
        return None
