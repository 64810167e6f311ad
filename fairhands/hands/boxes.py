"""Boxes of hands as ComfyUI's nodes exchange them: dictionaries with x, y, width and height in pixels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .hand import Box, Hand, area, clip_box

SIDES = ("x", "y", "width", "height")

Entry = dict[str, Any]


class GivenBoxes(NamedTuple):
    """For each picture the boxes that lie in it, and how many were left out of all because they don't."""

    of_pictures: list[list[Entry]]
    left_out: int


def as_entry(hand: Hand) -> Entry:
    """A found hand's box in whole pixels, with its side."""
    return {**dict(zip(SIDES, map(round, hand.box), strict=True)), "label": "hand", "side": hand.side}


def box_of(entry: Mapping[str, Any]) -> Box:
    """The box of an entry."""
    return entry["x"], entry["y"], entry["width"], entry["height"]


def given_boxes(boxes: Any, pictures: int, height: int, width: int) -> GivenBoxes:
    """The boxes that another node gives, for each picture; clipped to it, with whatever else they say.

    `boxes`: a list of boxes for each picture, or one list, or one box, that counts for all. Boxes that lie outside of
    their picture, or have no width or height, are left out.
    Raises ValueError for lists of another number than pictures, and for what is no box, named with its place.
    """
    lists = _lists(boxes, pictures)
    kept: list[list[Entry]] = []
    for image, some in enumerate(lists):
        read = [_clipped(box, f"box {number} of picture {image}", height, width) for number, box in enumerate(some)]
        kept.append([entry for entry in read if entry is not None])
    return GivenBoxes(kept, sum(map(len, lists)) - sum(map(len, kept)))


def _lists(boxes: Any, pictures: int) -> list[Sequence[Any]]:
    """A list for each picture."""
    if isinstance(boxes, Mapping):
        boxes = [boxes]
    if not isinstance(boxes, (list, tuple)):
        raise ValueError(f"boxes is a {type(boxes).__name__}, expected a list of boxes for each picture.")
    if not boxes:
        return [[]] * pictures
    if all(isinstance(box, Mapping) for box in boxes):
        return [boxes] * pictures
    for image, some in enumerate(boxes):
        if not isinstance(some, (list, tuple)):
            raise ValueError(f"boxes of picture {image} are a {type(some).__name__}, expected a list of boxes.")
    if len(boxes) not in (1, pictures):
        raise ValueError(f"boxes are for {len(boxes)} pictures, expected {' or '.join(map(str, {1, pictures}))}.")
    return list(boxes) if len(boxes) == pictures else [boxes[0]] * pictures


def _clipped(box: Any, name: str, height: int, width: int) -> Entry | None:
    """The part of a box that lies in the picture; None where none does."""
    numbers = _numbers(box)
    if numbers is None:
        raise ValueError(f"{name} is {box!r:.200}, expected x, y, width and height as numbers of pixels.")
    if min(numbers[2:]) <= 0:
        return None
    inside = clip_box(numbers, width, height)
    if area(inside) == 0:
        return None
    return {**box, **{side: _whole_where_it_is(number) for side, number in zip(SIDES, inside, strict=True)}}


def _numbers(box: Any) -> Box | None:
    if not isinstance(box, Mapping) or not set(SIDES) <= set(box):
        return None
    try:
        x, y, width, height = (float(box[side]) for side in SIDES)
    except (TypeError, ValueError):
        return None
    return (x, y, width, height) if all(map(math.isfinite, (x, y, width, height))) else None


def _whole_where_it_is(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number
