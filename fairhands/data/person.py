"""A plain person behind the hands: head, face, neck, torso and upper arms."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from .capsules import OVERSAMPLING, Floats, Samples, Window, averaged, whole
from .colour import draw_colour, plane
from .layout import Area
from .shading import paint_solid

_HAIR = np.array([[0.10, 0.08, 0.07], [0.24, 0.15, 0.10], [0.45, 0.30, 0.18], [0.78, 0.62, 0.38], [0.55, 0.54, 0.53]])
_EYES = np.array([[0.25, 0.15, 0.08], [0.30, 0.38, 0.25], [0.28, 0.42, 0.58]])


@dataclass(frozen=True)
class Person:
    """Where the person is and how they look; lengths in the picture's shorter side, y down.

    `head` is the face's centre, `size` half its height, `width` half its width as a share of `size`.
    """

    head: Floats
    size: float
    width: float
    skin: Floats
    hair: Floats
    eyes: Floats
    cloth: Floats
    long_hair: bool
    smile: float

    @property
    def face(self) -> Area:
        """The face from the hairline to the chin, ear to ear."""
        half = self.width * self.size
        return Area(self.head[0] - half, self.head[1] - 0.8 * self.size, 2 * half, 1.8 * self.size)

    def shoulder(self, side: int) -> Floats:
        """The left (-1) or right (1) shoulder as the viewer sees it."""
        return self.head + self.size * np.array([1.45 * side, 2.05])


def draw_person(rng: Generator, centre: Floats, skin: Floats, sizes: tuple[float, float] = (0.135, 0.16)) -> Person:
    """A random person whose head is near `centre` and of a size within `sizes`."""
    return Person(
        head=centre + rng.uniform(-0.02, 0.02, 2),
        size=rng.uniform(*sizes),
        width=rng.uniform(0.72, 0.8),
        skin=skin,
        hair=_HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.85, 1.15),
        eyes=_EYES[rng.integers(len(_EYES))],
        cloth=draw_colour(rng, skin),
        long_hair=bool(rng.random() < 0.5),
        smile=rng.uniform(-0.01, 0.05),
    )


def paint_person(picture: Samples, person: Person, light: Floats, scale: float) -> None:
    """Draws the person on `picture` `[3, H, W]` (0..1), in place; `scale` is the shorter side in samples."""
    unit = person.size * scale

    def solid(parts: list[list[list[float]]], colour: Floats, blend: float = 0.15) -> None:
        capsules = np.array(parts) * unit
        capsules[..., :2] += person.head * scale
        paint_solid(picture, capsules, colour, light, 0.9 * unit, blend)

    if person.long_hair:
        solid([[[s * 0.55, -0.35, -0.6, 0.5], [s * 0.78, 1.25, -0.6, 0.3]] for s in (-1, 1)], person.hair)
    solid([[[0, -0.3, -0.2, 0.86], [0, -0.2, -0.2, 0.86]]], person.hair)
    solid([[[0, 0.6, 0, 0.36], [0, 1.5, 0, 0.42]]], person.skin * 0.94)
    solid(_torso(), person.cloth, 0.1)
    solid(_head(person.width), person.skin)
    _paint_face(picture, person, scale)
    solid(_hairline(person.width), person.hair, 0.02)


def paint_upper_arm(picture: Samples, person: Person, side: int, elbow: Floats, light: Floats, scale: float) -> None:
    """Draws the sleeve from a shoulder (`side` -1 or 1) to `elbow` (x, y in the picture's shorter side)."""
    ends = np.array([[*person.shoulder(side), 0, 0.33 * person.size], [*elbow, 0, 0.34 * person.size]]) * scale
    paint_solid(picture, ends[None], person.cloth, light, 0.9 * person.size * scale)


def _torso() -> list[list[list[float]]]:
    shoulders = [[[-1.3, 2.1, 0, 0.42], [1.3, 2.1, 0, 0.42]], [[-0.5, 1.72, 0, 0.3], [0.5, 1.72, 0, 0.3]]]
    return [*shoulders, *([[x, 2.5, 0, 0.85], [0.75 * x, 12.0, 0, 0.85]] for x in (-0.8, -0.4, 0, 0.4, 0.8))]


def _head(width: float) -> list[list[list[float]]]:
    skull = [[0, -0.28, 0, width], [0, 0.1, 0, width * 0.97]]
    jaw = [[0, 0.1, 0.02, width * 0.95], [0, 0.56, 0.05, 0.44]]
    cheeks = [[[s * 0.3, 0.18, 0.36, 0.28], [s * 0.26, 0.3, 0.36, 0.25]] for s in (-1, 1)]
    ears = [[[s * width * 1.0, -0.08, -0.1, 0.1], [s * width * 0.96, 0.16, -0.1, 0.07]] for s in (-1, 1)]
    nose = [[[0, -0.12, 0.62, 0.07], [0, 0.2, 0.74, 0.1]], [[-0.09, 0.23, 0.66, 0.06], [0.09, 0.23, 0.66, 0.06]]]
    return [skull, jaw, *cheeks, *ears, *nose]


def _hairline(width: float) -> list[list[list[float]]]:
    angles = np.radians(np.linspace(-172, -8, 7))
    reach = width * 1.0
    arc = [[reach * float(np.cos(a)), -0.26 + 0.66 * float(np.sin(a)), 0.2, 0.17] for a in angles]
    top = [[-0.3, -0.82, 0.2, 0.27], [0.3, -0.82, 0.2, 0.27]]
    return [*([a, b] for a, b in pairwise(arc)), top]


def _paint_face(picture: Samples, person: Person, scale: float) -> None:
    dark, lip = person.skin * (0.45, 0.36, 0.34), person.skin * (0.86, 0.56, 0.54)
    white, black = np.array([0.95, 0.94, 0.92]), np.array([0.05, 0.04, 0.04])
    brow = person.hair * 0.7 + dark * 0.3

    def stamp(points: Floats, colour: Floats, strength: float = 1.0, blur: float = 0.012) -> None:
        _stamp(picture, (person.head + person.size * points) * scale, colour, strength, blur * person.size * scale)

    for side in (-1, 1):
        eye = 0.32 * side
        stamp(_oval(eye, -0.05, 0.2, 0.15), dark, 0.28, 0.06)
        stamp(_almond(eye, -0.02, 0.145, 0.068), white)
        stamp(_oval(eye, -0.02, 0.068, 0.066), person.eyes)
        stamp(_oval(eye, -0.02, 0.034, 0.034), black)
        stamp(_oval(eye + 0.02, -0.045, 0.014, 0.014), white)
        stamp(_band(eye, -0.04, 0.155, 0.06, 0.032), dark * 0.5)
        stamp(_band(eye + 0.01 * side, -0.21, 0.2, 0.06, 0.055), brow, 0.9, 0.02)
        stamp(_oval(0.075 * side, 0.29, 0.035, 0.02), dark, 0.75, 0.02)
        stamp(_oval(0.38 * side, 0.26, 0.17, 0.12), lip, 0.22, 0.08)
    stamp(_oval(0, 0.58, 0.17, 0.07), lip, 0.9, 0.02)
    stamp(_band(0, 0.54, 0.22, -person.smile - 0.02, 0.075), lip, 0.9, 0.02)
    stamp(_band(0, 0.552, 0.23, -person.smile - 0.03, 0.022), dark * 0.7, 0.9, 0.012)


def _oval(x: float, y: float, half_width: float, half_height: float) -> Floats:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.column_stack([x + half_width * np.cos(angles), y + half_height * np.sin(angles)])


def _almond(x: float, y: float, half_width: float, half_height: float) -> Floats:
    places = np.linspace(-1, 1, 13)
    rise = half_height * (1 - places**2)
    return _outline(x + half_width * places, y - rise, y + 0.8 * rise)


def _band(x: float, y: float, half_width: float, arch: float, thickness: float) -> Floats:
    """A line that rises by `arch` in the middle and thins toward its ends."""
    places = np.linspace(-1, 1, 13)
    middle, half = y - arch * (1 - places**2), thickness / 2 * (1 - 0.7 * places**2)
    return _outline(x + half_width * places, middle - half, middle + half)


def _outline(xs: Floats, upper: Floats, lower: Floats) -> Floats:
    return np.concatenate([np.column_stack([xs, upper]), np.column_stack([xs, lower])[::-1]])


def _stamp(picture: Samples, points: Floats, colour: Floats, strength: float, blur: float) -> None:
    """Fills the polygon `points` `[n, 2]` (in samples) with `colour`, its edge softened by `blur` samples."""
    margin, step = 3 * blur + 2, OVERSAMPLING
    left, top = (int(np.floor(value / step)) * step for value in points.min(axis=0) - margin)
    right, bottom = (int(np.ceil(value / step)) * step for value in points.max(axis=0) + margin)
    window = Window(left, top, right, bottom).within(whole(*picture.shape[1:]))
    if window.empty:
        return
    mask = np.zeros(window.shape, dtype=np.uint8)
    corners = np.round((points - (window.left, window.top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), max(blur, 0.3)).astype(np.float32)
    behind = picture[(slice(None), *window.pixels)]
    behind += (plane(colour) - behind) * (averaged(mask) * np.float32(strength / 255))
