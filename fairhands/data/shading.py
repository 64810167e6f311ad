"""Lights bodies of capsules as skin or cloth and lays them on a picture: normals, occlusion, nails and creases."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .capsules import (
    NOWHERE,
    OVERSAMPLING,
    Field,
    Floats,
    Samples,
    Window,
    around,
    averaged,
    field,
    join,
    nothing,
    smooth_max,
    whole,
)
from .colour import plane
from .pose import Digit, HandShape

WRIST = 0.2  # how much of the arm still counts as hand, in palms
_ARM_FLATNESS = 0.72
_CREASE = np.array([0.26, 0.34, 0.36])
# Light that went through skin comes back warmer: shade takes less of the red.
_WARMTH = np.array([0.2, 0.0, -0.04])


class Look(NamedTuple):
    """Colours (RGB 0..1), the side that is seen and the direction of the light `[3]`, a unit vector."""

    skin: Floats
    nail: Floats
    palm_seen: bool
    light: Floats


class Skin(NamedTuple):
    """What is seen of a hand in a window of samples: height, nails and creases (0..1), where a digit is in front."""

    height: Samples
    nail: Samples
    crease: Samples
    digit: NDArray[np.bool_]


def paint_hand(picture: Samples, shape: HandShape, look: Look, unit: float) -> tuple[Samples, Samples]:
    """Draws a hand and its forearm on `picture` `[3, H, W]` (0..1), in place.

    `shape` is in samples and `unit` is its palm's length in them. Returns how much of each pixel `[H, W]` all of it
    covers, and how much the hand alone does, which ends a little below the wrist.
    """
    parts = [shape.palm, shape.flesh, shape.forearm, *(chain for digit in shape.digits for chain in digit.chains)]
    window = around(np.concatenate(parts), 0.1 * unit).within(whole(*picture.shape[1:]))
    if window.empty:
        return np.zeros(picture.shape[1:], np.float32), np.zeros(picture.shape[1:], np.float32)
    skin = _skin(shape, window, unit, look.palm_seen)
    albedo = plane(look.skin) + averaged(skin.nail) * plane(look.nail - look.skin)
    albedo *= 1 - averaged(skin.crease) * plane(_CREASE)
    cover = _lay(picture, skin.height, albedo, look.light, unit, window)
    is_hand = (skin.digit | (_down_the_arm(shape, window) < WRIST * unit)) & (skin.height > NOWHERE / 2)
    return cover, _on_picture(averaged(is_hand.astype(np.float32)), window, picture)


def paint_solid(
    picture: Samples, capsules: Floats, colour: Floats, light: Floats, unit: float, blend: float = 0.15
) -> Samples:
    """Draws `capsules` `[n, 2, 4]` as one body of one colour, in place; returns how much of each pixel it covers.

    `unit` is the length in samples that a hand's palm would have on that body: it sets how soft its edges are, and
    `blend` how widely, in those units, the capsules melt into each other.
    """
    window = around(capsules, 0.1 * unit).within(whole(*picture.shape[1:]))
    if window.empty:
        return np.zeros(picture.shape[1:], dtype=np.float32)
    height = nothing(window)
    join(height, window, capsules, blend * unit)
    return _lay(picture, height, plane(colour), light, unit, window)


def paint_sleeve(
    picture: Samples, shape: HandShape, start: float, colour: Floats, light: Floats, unit: float
) -> Samples:
    """Clothes the forearm from `start` palms below the wrist on, in place; returns how much of each pixel it covers."""
    cloth = shape.forearm * (1, 1, 1, 1.12)
    window = around(cloth, 0.1 * unit).within(whole(*picture.shape[1:]))
    if window.empty:
        return np.zeros(picture.shape[1:], dtype=np.float32)
    height = nothing(window)
    join(height, window, cloth, 0.15 * unit, _ARM_FLATNESS)
    height[_down_the_arm(shape, window) < start * unit] = NOWHERE
    return _lay(picture, height, plane(colour), light, unit, window)


def _lay(picture: Samples, height: Samples, albedo: Samples, light: Floats, unit: float, window: Window) -> Samples:
    covered = height > NOWHERE / 2
    cover = averaged(covered.astype(np.float32))
    floor = np.where(covered, height, -NOWHERE).min() - np.float32(0.1 * unit)
    solid = averaged(np.maximum(height, floor)) / np.float32(OVERSAMPLING)
    colour = _lit(solid, albedo, light, unit / OVERSAMPLING)
    behind = picture[(slice(None), *window.pixels)]
    behind += (colour - behind) * cover
    return _on_picture(cover, window, picture)


def _on_picture(values: Samples, window: Window, picture: Samples) -> Samples:
    placed = np.zeros(picture.shape[1:], dtype=np.float32)
    placed[window.pixels] = values
    return placed


def _lit(height: Samples, albedo: Samples, light: Floats, unit: float) -> Samples:
    """`albedo` under soft light with a faint gloss, darker where higher parts hem it in; all in pixels."""
    smooth = cv2.GaussianBlur(height, (0, 0), 0.016 * unit)
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    facing = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    lx, ly, lz = (np.float32(value) for value in light)
    diffuse = np.maximum((lz - slope_x * lx - slope_y * ly) * facing, 0)
    hollow = np.maximum(_softened(height, 0.09 * unit) - height, 0)
    brightness = (0.38 + 0.27 * facing + 0.38 * diffuse) * np.exp(hollow * np.float32(-6 / unit))
    gloss = ((diffuse**2) ** 2) ** 2
    lit = albedo * (brightness * plane(1 - _WARMTH) + plane(_WARMTH)) + 0.09 * gloss * gloss * gloss
    return np.clip(lit, 0, 1, out=lit)


def _softened(values: Samples, radius: float) -> Samples:
    """Nearly a Gaussian blur, at a cost that does not grow with its `radius`."""
    side = 2 * max(1, round(1.2 * radius)) + 1
    return np.asarray(cv2.blur(cv2.blur(values, (side, side)), (side, side)), np.float32)


def _skin(shape: HandShape, window: Window, unit: float, palm_seen: bool) -> Skin:
    palm = nothing(window)
    # A small blend joins the parallel bones to a flat plate; a wide one raises ridges, like tendons on the back.
    join(palm, window, shape.palm, 0.05 * unit if palm_seen else 0.2 * unit)
    join(palm, window, shape.flesh, 0.14 * unit)
    join(palm, window, shape.forearm, 0.2 * unit, _ARM_FLATNESS)
    crease = _palm_lines(shape, window, unit) if palm_seen else np.zeros_like(palm)
    skin = Skin(palm.copy(), np.zeros_like(palm), crease, np.zeros(palm.shape, dtype=bool))
    for digit in shape.digits:
        patch = around(np.concatenate(digit.chains)).within(window)
        if not patch.empty:
            _add_digit(skin, _digit(digit, patch, unit, palm_seen), palm, window, patch, 0.07 * unit)
    return skin


def _add_digit(skin: Skin, digit: Skin, palm: Samples, window: Window, patch: Window, blend: float) -> None:
    at = window.slices(patch)
    joined = smooth_max(digit.height, palm[at], blend)
    front = joined > skin.height[at]
    own = front & (digit.height > palm[at])
    np.copyto(skin.height[at], joined, where=front)
    np.copyto(skin.nail[at], digit.nail, where=own)
    np.copyto(skin.crease[at], digit.crease, where=own)
    skin.digit[at] |= own


def _digit(digit: Digit, window: Window, unit: float, palm_seen: bool) -> Skin:
    """A digit alone; two fused ones melt into their filling."""
    height, nail, crease = nothing(window), np.zeros(window.shape, np.float32), np.zeros(window.shape, np.float32)
    blend = 0.05 * unit if len(digit.chains) == 1 else 0.03 * unit
    for number, chain in enumerate(digit.chains):
        for phalanx, capsule in enumerate(chain):
            patch = around(capsule).within(window)
            if patch.empty:
                continue
            at = window.slices(patch)
            part = field(capsule, patch)
            front = part.height > height[at]
            height[at] = smooth_max(height[at], part.height, blend)
            reach = float(np.hypot(*(capsule[1] - capsule[0])[:2]))
            if len(digit.chains) == 1:
                fold = _crease if palm_seen else _wrinkles
                np.maximum(crease[at], fold(part, reach / unit, phalanx) * front, out=crease[at])
            if phalanx == len(chain) - 1 and number < digit.nails and not palm_seen:
                plate, rim = _nail(part, capsule, reach)
                np.maximum(nail[at], plate * front, out=nail[at])
                np.maximum(crease[at], rim * front, out=crease[at])
    return Skin(height, nail, crease, np.ones(window.shape, dtype=bool))


def _crease(part: Field, reach: float, phalanx: int) -> Samples:
    """The fold on the palm's side where a phalanx begins; at a finger's root it lies a little further out."""
    distance = (part.along * reach - (0.13 if phalanx == 0 else 0.0)) / 0.016
    return np.exp(-distance * distance) * np.maximum(1 - part.across**2, 0)


def _wrinkles(part: Field, reach: float, phalanx: int) -> Samples:
    """Fine folds on the back of a knuckle, none where the finger meets the palm."""
    if phalanx == 0:
        return np.zeros_like(part.height)
    distance = part.along * (reach / 0.05)
    ripple = 0.5 + 0.5 * np.cos(part.along * (reach * 2 * np.pi / 0.034))
    return 0.55 * ripple * np.exp(-distance * distance) * np.maximum(1 - 1.6 * part.across**2, 0)


def _nail(part: Field, capsule: Floats, reach: float) -> tuple[Samples, Samples]:
    """A fingertip's nail and the fold of skin around it."""
    tip = 1 + 0.72 * capsule[1, 3] / reach
    half = (tip - 0.28) / 2
    lengthwise, widthwise = (part.along - (tip - half)) / half, part.across / 0.68
    inside = 1 - (lengthwise * lengthwise) ** 2 - (widthwise * widthwise) ** 2
    return np.clip(inside * 3, 0, 1), 0.8 * np.exp(-12 * inside * inside)


def _palm_lines(shape: HandShape, window: Window, unit: float) -> Samples:
    canvas = np.zeros(window.shape, dtype=np.uint8)
    for line in shape.lines:
        points = np.round((line[:, :2] - (window.left, window.top)) * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, max(1, round(0.014 * unit)), cv2.LINE_AA, 4)
    side = 2 * max(1, round(0.016 * unit)) + 1
    return cv2.blur(canvas, (side, side)).astype(np.float32) * np.float32(0.75 / 255)


def _down_the_arm(shape: HandShape, window: Window) -> Samples:
    """How far each sample lies below the wrist, along the arm."""
    wrist, elbow = shape.forearm.mean(axis=0)[:, :2]
    away = ((elbow - wrist) / np.linalg.norm(elbow - wrist)).astype(np.float32)
    xs, ys = window.axes
    return (xs - np.float32(wrist[0])) * away[0] + (ys - np.float32(wrist[1])) * away[1]
