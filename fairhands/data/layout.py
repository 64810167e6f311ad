"""Where hands go in a picture. Lengths are in the picture's shorter side, x right and y down."""

from math import ceil
from typing import NamedTuple

import numpy as np

from .capsules import Floats
from .pose import HandShape, Plan, Pose, extent, moved, shape_hand, turned


class Area(NamedTuple):
    """An upright rectangle by its top left corner and its extent."""

    x: float
    y: float
    width: float
    height: float


class PlacedHand(NamedTuple):
    """A hand's shape in the picture and the length of its palm there."""

    shape: HandShape
    palm: float


def cells(count: int, height: float, width: float) -> list[Area]:
    """As many areas that do not overlap: one row where there is room for it, else two columns.

    With two columns each arm can leave the picture sideways without crossing another hand.
    """
    columns = count if count * height <= 1.5 * width else min(count, 2)
    rows = ceil(count / columns)
    areas = []
    for row in range(rows):
        here = min(columns, count - row * columns)
        size = width / here, height / rows
        areas += [Area(column * size[0], row * size[1], *size) for column in range(here)]
    return areas


def place(pose: Pose, plan: Plan, area: Area, fill: float, shift: Floats) -> PlacedHand:
    """The hand as large as `fill` (0..1) of what fits into `area`, at `shift` `[2]` (0..1) of the free room."""
    shape = turned(shape_hand(pose, plan), pose)
    low, high = extent(shape)
    palm = fill * float(np.min((area.width, area.height) / (high - low)))
    room = np.array([area.width, area.height]) - palm * (high - low)
    corner = np.array([area.x, area.y]) + room * shift - palm * low
    return PlacedHand(moved(shape, scale=palm, offset=np.array([*corner, 0.0])), palm)
