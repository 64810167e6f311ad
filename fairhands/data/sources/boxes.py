"""Boxes as datasets give them: checked, and clipped to the picture."""

import math
from collections.abc import Iterable
from typing import Any

from ...hands.hand import Box, clip_box
from ..problems import Problems
from .faults import Fault, numbers

# A box that leaves the picture by no more than this share of its side was rounded.
ROUNDING = 0.01


def usable_boxes(
    boxes: Iterable[Any], place: str, problems: Problems, width: float = math.inf, height: float = math.inf
) -> tuple[Box, ...]:
    """The boxes that can be used, clipped to the picture; each one dropped or clipped is noted at `place`.

    Args:
        boxes: lists of x and y of the upper left corner, width and height, in any unit.
        width, height: the picture's in the same unit; left out where they are not known, and then boxes are
            clipped only to its left and upper border.
    """
    usable: list[Box] = []
    for box in boxes:
        try:
            whole = _checked(box)
            inside = _inside(whole, width, height)
        except Fault as fault:
            fault.note(problems, place)
            continue
        if whole[2] - inside[2] > ROUNDING * whole[2] or whole[3] - inside[3] > ROUNDING * whole[3]:
            problems.add("box partly outside", place, f"{_shown(whole)} is clipped to {_shown(inside)}")
        usable.append(inside)
    return tuple(usable)


def box_of_corners(left: float, top: float, right: float, bottom: float) -> Box:
    """The box between two corners; its sides are negative where they are exchanged."""
    return left, top, right - left, bottom - top


def _checked(box: Any) -> Box:
    try:
        x, y, width, height = numbers(box, (4,), "the box").tolist()
    except Fault as fault:
        raise Fault("broken box", fault.what) from fault
    if width <= 0 or height <= 0:
        raise Fault("box without area", _shown((x, y, width, height)))
    return x, y, width, height


def _inside(box: Box, width: float, height: float) -> Box:
    inside = clip_box(box, width, height)
    if not (0 < inside[2] < math.inf and 0 < inside[3] < math.inf):
        size = "" if math.isinf(width) else f" of {width:g} x {height:g}"
        raise Fault("box outside", f"{_shown(box)} lies outside of the picture{size}")
    return inside


def _shown(box: Box) -> str:
    x, y, width, height = box
    return f"x {x:g}, y {y:g}, width {width:g}, height {height:g}"
