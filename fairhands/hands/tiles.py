"""Search in overlapping tiles, because MediaPipe misses hands that are small in the picture."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from .hand import Hand, clip_box

OVERLAP = 1 / 3
# MediaPipe's palm detector sees 192 px, its landmark model 224 px of a hand: smaller tiles are enlarged.
SMALLEST_TILE = 512


def search_tiles(picture: np.ndarray, tiles: int, search: Callable[[np.ndarray], list[Hand]]) -> list[Hand]:
    """What `search` finds in each of `tiles` x `tiles` overlapping tiles, in the picture's pixels, not yet merged.

    `picture`: uint8 RGB `[H, W, 3]`.
    """
    height, width = picture.shape[:2]
    hands = []
    for top, bottom in spans(height, tiles):
        for left, right in spans(width, tiles):
            tile, scale = _enlarged(picture[top:bottom, left:right])
            hands += [_in_picture(hand, scale, left, top, width, height) for hand in search(tile)]
    return hands


def spans(length: int, count: int, overlap: float = OVERLAP) -> list[tuple[int, int]]:
    """`count` spans that cover `length` pixels, neighbours sharing that part of a span."""
    span = length / (count - (count - 1) * overlap)
    starts = [round(index * span * (1 - overlap)) for index in range(count)]
    return [(start, min(length, start + int(np.ceil(span)))) for start in starts]


def _enlarged(tile: np.ndarray) -> tuple[np.ndarray, float]:
    scale = max(1.0, SMALLEST_TILE / max(tile.shape[:2]))
    if scale == 1.0:
        return np.ascontiguousarray(tile), scale
    return cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), scale


def _in_picture(hand: Hand, scale: float, left: int, top: int, width: int, height: int) -> Hand:
    x, y, box_width, box_height = (value / scale for value in hand.box)
    landmarks = None if hand.landmarks is None else hand.landmarks / scale + np.float32([left, top])
    return dataclasses.replace(
        hand, box=clip_box((x + left, y + top, box_width, box_height), width, height), landmarks=landmarks
    )
