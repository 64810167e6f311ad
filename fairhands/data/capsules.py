"""Height fields of tapered capsules as seen from the front, and how several are joined to one smooth body.

A capsule is `[2, 4]`: x, y, z and radius at its start and at its end, z toward the viewer; several are `[n, 2, 4]`.
Heights are sampled `OVERSAMPLING` times as densely as the picture's pixels; capsules are given in those samples.
"""

from collections.abc import Iterable
from math import ceil, floor
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 2
NOWHERE = np.float32(-1e6)

Floats = NDArray[np.floating]
Samples = NDArray[np.floating]  # float32 throughout; NumPy's stubs lose that in arithmetic


class Window(NamedTuple):
    """A rectangle of samples whose edges lie on whole pixels of the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def empty(self) -> bool:
        return self.right <= self.left or self.bottom <= self.top

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def axes(self) -> tuple[Samples, Samples]:
        """The samples' x `[1, w]` and y `[h, 1]`."""
        xs = np.arange(self.left, self.right, dtype=np.float32) + np.float32(0.5)
        ys = np.arange(self.top, self.bottom, dtype=np.float32) + np.float32(0.5)
        return xs[None], ys[:, None]

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The same rectangle in the picture's pixels."""
        step = OVERSAMPLING
        return slice(self.top // step, self.bottom // step), slice(self.left // step, self.right // step)

    def within(self, outer: "Window") -> "Window":
        """What of this rectangle lies in `outer`."""
        left, top = max(self.left, outer.left), max(self.top, outer.top)
        return Window(left, top, min(self.right, outer.right), min(self.bottom, outer.bottom))

    def slices(self, inner: "Window") -> tuple[slice, slice]:
        """Where `inner` lies in an array of this window."""
        rows = slice(inner.top - self.top, inner.bottom - self.top)
        return rows, slice(inner.left - self.left, inner.right - self.left)


class Field(NamedTuple):
    """One capsule in a window: height, place along its axis (0..1), distance from the axis, radius there."""

    height: Samples
    along: Samples
    offset: Samples
    girth: Samples

    @property
    def across(self) -> Samples:
        """Where each sample lies across the capsule, -1..1."""
        return self.offset / self.girth


def around(capsules: Floats, margin: float = 2.0) -> Window:
    """The window that just holds `capsules` and `margin` samples on every side."""
    ends = capsules.reshape(-1, 4).tolist()
    step = OVERSAMPLING
    left = floor((min(x - radius for x, _, _, radius in ends) - margin) / step) * step
    top = floor((min(y - radius for _, y, _, radius in ends) - margin) / step) * step
    right = ceil((max(x + radius for x, _, _, radius in ends) + margin) / step) * step
    bottom = ceil((max(y + radius for _, y, _, radius in ends) + margin) / step) * step
    return Window(left, top, right, bottom)


def whole(rows: int, columns: int) -> Window:
    """All samples of a picture of `rows` by `columns` pixels."""
    return Window(0, 0, columns * OVERSAMPLING, rows * OVERSAMPLING)


def nothing(window: Window) -> Samples:
    """A height field with nothing in it."""
    return np.full(window.shape, NOWHERE, dtype=np.float32)


def field(capsule: Floats, window: Window) -> Field:
    """The front of one tapered capsule; beside it the height is `NOWHERE`."""
    (x, y, z, radius), (x_end, y_end, z_end, radius_end) = capsule.tolist()
    rise, taper = z_end - z, radius_end - radius
    reach = max(float(np.hypot(x_end - x, y_end - y)), 1e-3 * radius)
    ux, uy = np.float32((x_end - x) / reach), np.float32((y_end - y) / reach)
    xs, ys = window.axes
    along = (xs - np.float32(x)) * (ux / np.float32(reach)) + (ys - np.float32(y)) * (uy / np.float32(reach))
    offset = (ys - np.float32(y)) * ux - (xs - np.float32(x)) * uy
    place = np.clip(along, 0, 1)
    girth = taper * place + radius
    inner = girth * girth - offset * offset
    # The point of the axis whose sphere is highest here lies off the nearest one where the capsule is tilted.
    if abs(rise) > 0.02 * reach:
        half = np.sqrt(np.maximum(inner, 0))
        place = np.clip(along + half * (rise / float(np.hypot(rise, reach)) / reach), 0, 1)
        girth = taper * place + radius
        inner = girth * girth - offset * offset
    gap = (along - place) * reach
    inner -= gap * gap
    outside = inner <= 0
    height = np.sqrt(np.maximum(inner, 0, out=inner), out=inner)
    height += rise * place
    height += np.float32(z)
    np.copyto(height, NOWHERE, where=outside)
    return Field(height, along, offset, girth)


def smooth_max(first: Samples, second: Samples, blend: float) -> Samples:
    """The higher of two height fields, rounded where they are within `blend` of each other."""
    near = np.abs(first - second)
    np.subtract(blend, near, out=near)
    np.maximum(near, 0, out=near)
    near *= near
    near *= 0.25 / blend
    near += np.maximum(first, second)
    return near


def join(height: Samples, window: Window, capsules: Iterable[Floats], blend: float, flatness: float = 1.0) -> None:
    """Adds `capsules`, their heights scaled by `flatness`, to the height field of `window`, in place."""
    for capsule in capsules:
        patch = around(capsule).within(window)
        if not patch.empty:
            part, added = height[window.slices(patch)], field(capsule, patch).height
            part[...] = smooth_max(part, added if flatness == 1 else added * np.float32(flatness), blend)


def averaged(samples: Samples) -> Samples:
    """Samples averaged to pixels."""
    rows, columns = samples.shape[:2]
    size = columns // OVERSAMPLING, rows // OVERSAMPLING
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), np.float32)
