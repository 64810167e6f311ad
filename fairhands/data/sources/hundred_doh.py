"""100DOH, 100 Days of Hands: frames of videos in which hands do things. Shan et al., 2020."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ...hands.hand import Box
from ..problems import Problems
from .boxes import box_of_corners, usable_boxes
from .example import Example
from .faults import Fault, numbers, place_in, read_json, shown
from .files import existing, find_picture, matching

LAYOUT = (
    "trainval.json, test.json (or train, val), here or in annotations/, pictures here, in raw/ or in images/; "
    "or Annotations/*.xml and JPEGImages/*.jpg, here or in VOC2007/"
)

JSON_FILES = ("*.json", "annotations/*.json", "annotation/*.json")
VOC_FOLDERS = ("", "VOC2007/", "*/VOC2007/")
CORNERS = ("x1", "y1", "x2", "y2")
VOC_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Frames with all their hands: in shares from the JSON files, in pixels from the XML files."""
    yield from _read_json(folder, problems)
    yield from _read_voc(folder, problems)


def _read_json(folder: Path, problems: Problems) -> Iterator[Example]:
    folders = existing(folder, "raw", "images", "JPEGImages", "")
    for path in matching(folder, *JSON_FILES):
        place = place_in(folder, path)
        try:
            entries = read_json(path, dict)
        except Fault as fault:
            fault.note(problems, place)
            continue
        for name, hands in entries.items():
            try:
                yield _example(name, hands, folders, f"{place}, {name}", problems)
            except Fault as fault:
                fault.note(problems, f"{place}, {name}")


def _example(name: str, hands: Any, folders: tuple[Path, ...], place: str, problems: Problems) -> Example:
    if not isinstance(hands, list):
        raise Fault("broken entry", f"{shown(hands)}, expected a list of hands")
    picture = find_picture(folders, name)
    boxes = []
    for hand in hands:
        try:
            boxes.append(_box(hand))
        except Fault as fault:
            fault.note(problems, place)
    return Example(picture=picture, hands=usable_boxes(boxes, place, problems, 1, 1), unit="share", place=place)


def _box(hand: Any) -> Box:
    if not isinstance(hand, dict) or any(key not in hand for key in CORNERS):
        raise Fault("broken entry", f"{shown(hand)}, expected a hand with {', '.join(CORNERS)}")
    left, top, right, bottom = numbers([hand[key] for key in CORNERS], (4,), "the hand's corners").tolist()
    return box_of_corners(left, top, right, bottom)


def _read_voc(folder: Path, problems: Problems) -> Iterator[Example]:
    for path in matching(folder, *(f"{voc}Annotations/*.xml" for voc in VOC_FOLDERS)):
        place = place_in(folder, path)
        try:
            yield _voc_example(path, place, problems)
        except Fault as fault:
            fault.note(problems, place)


def _voc_example(path: Path, place: str, problems: Problems) -> Example:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        raise Fault("unreadable file", str(error)) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter of unknown encodings
        raise Fault("broken file", f"not XML: {error}") from error
    picture = find_picture([path.parents[1] / "JPEGImages"], f"{path.stem}.jpg")
    width, height = _number(root, "size/width"), _number(root, "size/height")
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise Fault("broken entry", f"the picture's size is {width:g} x {height:g}")
    boxes = []
    for thing in root.iterfind("object"):
        try:
            if _text(thing, "name") == "hand":
                boxes.append(_voc_box(thing))
        except Fault as fault:
            fault.note(problems, place)
    return Example(picture=picture, hands=usable_boxes(boxes, place, problems, width, height), place=place)


def _voc_box(thing: ElementTree.Element) -> Box:
    """Corners are pixels counted from 1, and both belong to the box."""
    left, top, right, bottom = (_number(thing, f"bndbox/{corner}") for corner in VOC_CORNERS)
    return box_of_corners(left - 1, top - 1, right, bottom)


def _number(element: ElementTree.Element, path: str) -> float:
    text = _text(element, path)
    try:
        return float(text)
    except ValueError as error:
        raise Fault("broken entry", f"{path} is {shown(text)}, expected a number") from error


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise Fault("broken entry", f"{path} is missing")
    return text.strip()
