"""A folder of pictures with metadata.jsonl: Hugging Face's imagefolder, and FairHuman's own keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...hands.hand import Box
from ..problems import Problems
from .boxes import usable_boxes
from .example import Example
from .faults import Fault, field, optional, parsed, place_in, shown
from .files import find_picture, matching

LAYOUT = (
    "metadata.jsonl, here or in subfolders, a line a picture: file_name, text, objects.bbox [x, y, width, height] in "
    "pixels with objects.category hand or face; or image, conditioning_image, mask_hand, mask_face, text_english"
)

MASKS = {"hand": "mask_hand", "face": "mask_face"}


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """The lines' pictures, whose names begin at the file's folder; boxes are in pixels, of hands where none says what.

    Masks and the picture for a ControlNet are given where they are there; where the line names one that is not, it
    is noted.
    """
    for path in matching(folder, "metadata.jsonl", "*/metadata.jsonl"):
        for number, line in _lines(path, folder, problems):
            place = f"{place_in(folder, path)}, line {number}"
            try:
                yield _example(parsed(line, dict, "broken line"), path.parent, place, problems)
            except Fault as fault:
                fault.note(problems, place)


def _lines(path: Path, folder: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; undecoded, so that a broken one breaks no other."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        problems.add("unreadable file", place_in(folder, path), str(error))


def _example(line: dict[str, Any], folder: Path, place: str, problems: Problems) -> Example:
    name = field(line, "image" if "image" in line and "file_name" not in line else "file_name", str)
    picture = find_picture([folder], name)
    text = optional(line, "text", str) or optional(line, "text_english", str)
    hands, faces = _boxes(optional(line, "objects", dict), place, problems)
    masks = {part: _companion(line, key, folder, place, problems) for part, key in MASKS.items()}
    return Example(
        picture=picture,
        hands=hands,
        faces=faces,
        text=(text and text.strip()) or None,
        place=place,
        masks={part: path for part, path in masks.items() if path is not None},
        conditioning=_companion(line, "conditioning_image", folder, place, problems),
    )


def _companion(line: dict[str, Any], key: str, folder: Path, place: str, problems: Problems) -> Path | None:
    """Another picture that a line names."""
    name = optional(line, key, str)
    if name is None:
        return None
    try:
        return find_picture([folder], name)
    except Fault as fault:
        problems.add(fault.kind, place, f"{key}: {fault.what}")
        return None


def _boxes(
    objects: dict[str, Any] | None, place: str, problems: Problems
) -> tuple[tuple[Box, ...] | None, tuple[Box, ...] | None]:
    """Of hands and of faces; the line says nothing of faces where it names none."""
    if objects is None:
        return None, None
    boxes = field(objects, "bbox", list)
    categories = optional(objects, "categories" if "categories" in objects else "category", list)
    if categories is None:
        categories = ["hand"] * len(boxes)
    if len(categories) != len(boxes):
        raise Fault("broken entry", f"objects has {len(boxes)} boxes, but {len(categories)} categories")
    parts = [_part(category, place, problems) for category in categories]
    hands = [box for box, part in zip(boxes, parts, strict=True) if part == "hand"]
    faces = [box for box, part in zip(boxes, parts, strict=True) if part == "face"]
    usable_faces = usable_boxes(faces, place, problems) if faces else None
    return usable_boxes(hands, place, problems), usable_faces


def _part(category: Any, place: str, problems: Problems) -> str | None:
    """What a category's name has in it, hand or face (so "left_hand" is a hand); None for other things."""
    if not isinstance(category, str):
        problems.add("unknown category", place, f"{shown(category)}, expected a name like hand or face")
        return None
    return next((part for part in ("hand", "face") if part in category.lower()), None)
