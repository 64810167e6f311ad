"""InterHand2.6M: hands in a studio, single and interacting. Moon et al., 2020."""

from collections.abc import Iterator
from pathlib import Path

from ..problems import Problems
from .boxes import usable_boxes
from .coco import Annotated, annotated_pictures
from .example import Example
from .faults import Fault, field, place_in, read_json
from .files import existing, find_picture, matching

LAYOUT = "annotations/{train,val,test}/InterHand2.6M_SPLIT_data.json, pictures in images/{train,val,test}/"

PREFIX, SUFFIX = "InterHand2.6M_", "_data"
ANNOTATIONS = tuple(f"{folder}{PREFIX}*{SUFFIX}.json" for folder in ("annotations/", "annotations/*/", ""))


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Pictures with a box in pixels; the `hand_type` interacting has one box for its two hands, kept as it is."""
    for path in matching(folder, *ANNOTATIONS):
        place = place_in(folder, path)
        try:
            pictures = annotated_pictures(read_json(path, dict), place, problems)
            folders = _picture_folders(folder, path.stem[len(PREFIX) : -len(SUFFIX)])
        except Fault as fault:
            fault.note(problems, place)
            continue
        for picture in pictures:
            try:
                yield _example(picture, folders, problems)
            except Fault as fault:
                fault.note(problems, picture.place)


def _picture_folders(folder: Path, split: str) -> tuple[Path, ...]:
    """Where a split's pictures are; a single Fault where it was not downloaded, as they are many."""
    folders = existing(folder, f"images/{split}", split)
    if not folders:
        raise Fault("missing pictures", f"none of its pictures is there: no folder images/{split}")
    return folders


def _example(picture: Annotated, folders: tuple[Path, ...], problems: Problems) -> Example:
    path = find_picture(folders, picture.name)
    boxes = []
    for place, annotation in picture.annotations:
        try:
            boxes.extend(
                usable_boxes([field(annotation, "bbox", list)], place, problems, picture.width, picture.height)
            )
        except Fault as fault:
            fault.note(problems, place)
    return Example(picture=path, hands=tuple(boxes), place=picture.place)
