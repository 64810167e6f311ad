"""Calm backgrounds: gradients, soft blobs, sometimes a few plain shapes or a mild texture."""

import cv2
import numpy as np
from numpy.random import Generator

from .capsules import Floats, Samples
from .colour import draw_colour, plane

_COARSE = 48  # cells of the smooth part along the picture's shorter side
_FOLIAGE = 0.36  # how far down leaves hang, in the picture's height
_LEAVES, _LEAF_COLOURS = 260, 5


def draw_background(rng: Generator, rows: int, columns: int, avoid: Floats) -> Samples:
    """A background `[3, rows, columns]` in 0..1 whose main colours are unlike `avoid` (RGB 0..1)."""
    short = min(rows, columns)
    picture = _smooth(rng, rows / short, columns / short, avoid)
    picture = np.stack([cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_CUBIC) for plane in picture])
    shapes = int(rng.integers(1, 4)) if rng.random() < 0.35 else 0
    for _ in range(shapes):
        _add_shape(picture, rng, short, avoid)
    if rng.random() < 0.35:
        picture += _texture(rng, rows, columns, short)
    return np.clip(picture, 0, 1, out=picture)


def draw_studio_background(rng: Generator, rows: int, columns: int, avoid: Floats) -> Samples:
    """A plain background `[3, rows, columns]` in 0..1: one gradient between two colours unlike `avoid`."""
    ys, xs = np.arange(rows)[:, None] / rows - 0.5, np.arange(columns)[None] / columns - 0.5
    start, end = draw_colour(rng, avoid), draw_colour(rng, avoid)
    end = start + (end - start) * rng.uniform(0.1, 0.4)
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.5 + (xs * np.cos(angle) + ys * np.sin(angle)) / np.sqrt(2)
    return (plane(start) + plane(end - start) * slope).astype(np.float32)


def draw_foliage(rng: Generator, background: Samples, avoid: Floats) -> Samples:
    """The background `[3, rows, columns]` in 0..1 behind leaves that hang into it: much detail, no person."""
    picture = np.ascontiguousarray(background.transpose(1, 2, 0))
    rows, columns = picture.shape[:2]
    colours = [draw_colour(rng, avoid) for _ in range(_LEAF_COLOURS)]
    for _ in range(_LEAVES):
        centre = (rng.uniform(0, 1, 2) * (columns, _FOLIAGE * rows)).astype(int)
        axes = np.maximum(1, (rng.uniform(0.012, 0.05, 2) * min(rows, columns)).astype(int))
        colour = np.clip(colours[int(rng.integers(_LEAF_COLOURS))] + rng.normal(0, 0.06, 3), 0, 1)
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(picture, centre.tolist(), axes.tolist(), turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _smooth(rng: Generator, height: float, width: float, avoid: Floats) -> Samples:
    shape = round(_COARSE * height), round(_COARSE * width)
    ys, xs = (np.arange(count) / _COARSE for count in shape)
    start, end = draw_colour(rng, avoid), draw_colour(rng, avoid)
    end = start + (end - start) * rng.uniform(0.1, 0.6)
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.5 + (xs[None] - width / 2) * np.cos(angle) / width + (ys[:, None] - height / 2) * np.sin(angle) / height
    picture = plane(start) + plane(end - start) * np.clip(slope, 0, 1)
    for _ in range(int(rng.integers(0, 5))):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.1, 0.4)
        blob = np.exp(-((xs[None] - x) ** 2 + (ys[:, None] - y) ** 2) / size**2)
        picture += (plane(draw_colour(rng, avoid)) - picture) * (rng.uniform(0.15, 0.5) * blob)
    return picture.astype(np.float32)


def _add_shape(picture: Samples, rng: Generator, short: int, avoid: Floats) -> None:
    rows, columns = picture.shape[1:]
    centre, size = rng.uniform(0, 1, 2) * (columns, rows), rng.uniform(0.06, 0.22) * short
    corners, turn = int(rng.choice((3, 4, 4, 60))), rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(corners) * (2 * np.pi / corners)
    points = centre + size * np.column_stack([np.cos(angles), np.sin(angles)])
    mask = np.zeros((rows, columns), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.003, 0.02) * short)
    strength = np.float32(rng.uniform(0.3, 0.8) / 255) * mask
    picture += (plane(draw_colour(rng, avoid)) - picture) * strength


def _texture(rng: Generator, rows: int, columns: int, short: int) -> Samples:
    cells = rng.uniform(40, 110)
    shape = max(2, round(cells * rows / short)), max(2, round(cells * columns / short))
    noise = rng.normal(0, rng.uniform(0.008, 0.025), shape).astype(np.float32)
    return np.asarray(cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
