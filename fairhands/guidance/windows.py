"""Windows of the latent around hands, so that only they go through the decoder with a gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..hands.crops import square_around
from ..hands.hand import Box

CONTEXT = 4  # whole latent cells around a crop that the decoder sees, because its convolutions look beyond it
STEP = 4  # sides are rounded up to it, so that windows of several hands can share a batch
WHOLE = 24 * 24  # latents of up to so many cells are decoded whole


class Region(NamedTuple):
    """A place that the critic judges: its box in the picture's pixels, and its weight in the loss."""

    box: Box
    weight: float = 1.0


@dataclass(frozen=True)
class LatentWindow:
    """A rectangle of latent cells."""

    left: int
    top: int
    width: int
    height: int

    def shifted(self, box: Box, scale: int) -> Box:
        """A box of the picture in the pixels of the decoded window."""
        x, y, width, height = box
        return x - self.left * scale, y - self.top * scale, width, height


def window_around(box: Box, margin: float, scale: int, height: int, width: int) -> LatentWindow:
    """The window in latents of height x width cells for the critic's square crop of a box.

    `margin`: context of the crop on each side, relative to the box's longer side. `scale`: pixels of a cell's side.
    """
    if height * width <= WHOLE:
        return LatentWindow(0, 0, width, height)
    left, top, crop = square_around(box, margin, height * scale, width * scale)
    # A crop that begins within a cell can reach into one more.
    cells = math.ceil(crop / scale) + 1 + 2 * CONTEXT
    side = STEP * math.ceil(cells / STEP)
    return LatentWindow(
        _start(left // scale, side, width), _start(top // scale, side, height), min(side, width), min(side, height)
    )


def _start(first: int, side: int, length: int) -> int:
    """Where a window of a crop that begins in cell `first` begins: inside of 0..length, as far as it fits."""
    return min(max(first - CONTEXT, 0), max(length - side, 0))


def batches(windows: Sequence[LatentWindow], most: int) -> list[list[int]]:
    """The windows' numbers in groups of one size each, at most `most` in a group."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, window in enumerate(windows):
        by_size.setdefault((window.width, window.height), []).append(number)
    return [group[start : start + most] for group in by_size.values() for start in range(0, len(group), most)]
