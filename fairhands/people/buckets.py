"""Aspect buckets: the few sizes that pictures of any shape are brought to, so that those of one size make batches."""

from __future__ import annotations

import math
from functools import cache

Size = tuple[int, int]
"""Width and height in pixels."""


class Buckets:
    """The sizes that pictures are brought to.

    A bucket's sides are multiples of `step`, its area is at most that of a square of the resolution, its longer side
    is at most `largest_aspect` times the shorter one, and no larger such size holds it. Unless small pictures are
    enlarged, it is no larger than the picture either.

    Args:
        resolution: side of the square whose area is the largest, in pixels.
        step: of the sides, in pixels.
        largest_aspect: the longer side by the shorter one.
        enlarge: whether small pictures are enlarged.

    Raises:
        ValueError: not even one step fits in the resolution.
    """

    def __init__(self, resolution: int, step: int, largest_aspect: float, enlarge: bool) -> None:
        if resolution < step:
            raise ValueError(
                f"data.resolution is {resolution}, expected at least {step} pixels: sides of pictures are multiples of "
                "data.bucket_step and of what the base model asks for"
            )
        self.resolution = resolution
        self.step = step
        self.largest_aspect = largest_aspect
        self.enlarge = enlarge
        self._within = cache(self._fitting)

    def all(self) -> tuple[Size, ...]:
        """The buckets of pictures that are large enough, from the narrowest to the widest."""
        return self._within(self.resolution**2, self.resolution**2)

    def of(self, width: int, height: int) -> Size | None:
        """The bucket of a picture, the one nearest to its aspect ratio; None for a picture too small for any."""
        sizes = self.all() if self.enlarge else self._within(width // self.step, height // self.step)
        wanted = math.log(width / height)
        return min(sizes, key=lambda size: abs(math.log(size[0] / size[1]) - wanted), default=None)

    def _fitting(self, most_across: int, most_down: int) -> tuple[Size, ...]:
        """The largest sizes of at most so many steps each way."""
        area = self.resolution**2 // self.step**2
        found: list[Size] = []
        highest = 0
        for across in range(min(most_across, area), 0, -1):
            down = self._steps_down(across, area, most_down)
            if down > highest and down * self.largest_aspect >= across:  # else a wider one is as high
                found.append((across * self.step, down * self.step))
                highest = down
        return tuple(reversed(found))

    def _steps_down(self, across: int, area: int, most_down: int) -> int:
        """The most steps down beside so many across."""
        return min(area // across, most_down, math.floor(across * self.largest_aspect))
