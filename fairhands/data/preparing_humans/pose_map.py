"""Poses drawn as ControlNets know them from OpenPose: limbs and joints of 18 colours, hands, points of faces."""

import colorsys
from collections.abc import Iterable, Sequence
from itertools import repeat

import cv2
import numpy as np

from ...hands.skeleton import FINGERS, WRIST
from .skeletons import BODY, NECK, Skeleton

Colour = tuple[int, int, int]

NOSE, EYES, EARS = 0, (14, 15), (16, 17)
# Chains of joints: from the neck into both arms, both legs, and over the nose to both ears.
LIMBS = (
    *((NECK, 2), (NECK, 5), (2, 3), (3, 4), (5, 6), (6, 7)),
    *((NECK, 8), (8, 9), (9, 10), (NECK, 11), (11, 12), (12, 13)),
    *((NECK, NOSE), (NOSE, EYES[0]), (EYES[0], EARS[0]), (NOSE, EYES[1]), (EYES[1], EARS[1])),
)
HAND_LIMBS = tuple(pair for finger in FINGERS for pair in zip((WRIST, *finger), finger, strict=False))


def hues(count: int) -> list[Colour]:
    """So many full colours, evenly spaced from red on; RGB, 0..255."""
    around = (colorsys.hsv_to_rgb(number / count, 1, 1) for number in range(count))
    return [(round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in around]


BODY_COLOURS = hues(BODY)
HAND_COLOURS = hues(len(HAND_LIMBS))
JOINT_OF_HAND: Colour = (0, 0, 255)
POINT_OF_FACE: Colour = (255, 255, 255)
LIMB_BRIGHTNESS = 0.6

# Lengths in pixels of a picture whose shorter side is 512.
STANDARD_SIDE = 512
LIMB_RADIUS, JOINT_RADIUS = 4, 4
HAND_WIDTH, HAND_JOINT_RADIUS = 2, 4
FACE_RADIUS = 3


def draw_poses(
    skeletons: Sequence[Skeleton], width: int, height: int, *, hands: bool = True, face: bool = True
) -> np.ndarray:
    """People's poses on black, uint8 RGB [height, width, 3]; all widths grow with the picture's shorter side.

    Args:
        skeletons: in pixels of the picture.
        width, height: of the picture.
        hands, face: whether those of them are drawn.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    unit = min(width, height) / STANDARD_SIDE
    for skeleton in skeletons:
        if skeleton.body is not None:
            _draw_body(canvas, _near(skeleton.body, canvas), unit)
    for skeleton in skeletons:
        for points in skeleton.hands if hands else ():
            _draw_hand(canvas, _near(points, canvas), unit)
        if face and skeleton.face is not None:
            _draw_points(canvas, _near(skeleton.face, canvas), repeat(POINT_OF_FACE), FACE_RADIUS * unit)
    return canvas


def _near(points: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Points that are further outside of the picture than it is large are broken, and count as not there."""
    size = np.array(canvas.shape[1::-1])
    near = (points[:, :2] > -size).all(axis=1) & (points[:, :2] < 2 * size).all(axis=1)
    return points * np.stack([near, near, near], axis=1)


def _draw_body(canvas: np.ndarray, points: np.ndarray, unit: float) -> None:
    for (one, other), colour in zip(LIMBS, BODY_COLOURS, strict=False):
        if points[one, 2] > 0 and points[other, 2] > 0:
            _draw_limb(canvas, points[one, :2], points[other, :2], LIMB_RADIUS * unit, colour)
    _draw_points(canvas, points, BODY_COLOURS, JOINT_RADIUS * unit)


def _draw_limb(canvas: np.ndarray, one: np.ndarray, other: np.ndarray, radius: float, colour: Colour) -> None:
    """An ellipse between two joints, darker than these."""
    x, y = (one + other) / 2
    across, along = other - one
    axes = (max(1, round(float(np.hypot(across, along)) / 2)), max(1, round(radius)))
    angle = round(float(np.degrees(np.arctan2(along, across))))
    outline = np.array(cv2.ellipse2Poly((round(float(x)), round(float(y))), axes, angle, 0, 360, 1))
    red, green, blue = (int(value * LIMB_BRIGHTNESS) for value in colour)
    cv2.fillConvexPoly(canvas, outline, (red, green, blue))


def _draw_hand(canvas: np.ndarray, points: np.ndarray, unit: float) -> None:
    for (one, other), colour in zip(HAND_LIMBS, HAND_COLOURS, strict=True):
        if points[one, 2] > 0 and points[other, 2] > 0:
            cv2.line(canvas, _pixel(points[one]), _pixel(points[other]), colour, max(1, round(HAND_WIDTH * unit)))
    _draw_points(canvas, points, repeat(JOINT_OF_HAND), HAND_JOINT_RADIUS * unit)


def _draw_points(canvas: np.ndarray, points: np.ndarray, colours: Iterable[Colour], radius: float) -> None:
    for point, colour in zip(points, colours, strict=False):
        if point[2] > 0:
            cv2.circle(canvas, _pixel(point), max(1, round(radius)), colour, cv2.FILLED)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
