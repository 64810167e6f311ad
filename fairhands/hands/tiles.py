"""Search in overlapping tiles too, because MediaPipe misses hands that are small in the picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .hand import Hand, clip_box, keep_first, sureness

OVERLAP = 1 / 3
# The landmark model looks at a hand in 224 px: tiles smaller than this are enlarged, so that it sees it smooth.
SMALLEST_TILE = 512

Search = Callable[[np.ndarray], list[Hand]]


@dataclass(frozen=True)
class _Tile:
    """Part of a picture, from left and top to right and bottom, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int


def search_with_tiles(picture: np.ndarray, tiles: int, search: Search) -> list[Hand]:
    """The hands that `search` finds in the picture and in `tiles` x `tiles` overlapping parts, each hand once.

    `picture`: uint8 RGB `[H, W, 3]`. Of several finds of a hand the one that no tile's border cut counts, then the
    surest; in that order they are returned.
    """
    found = [(False, hand) for hand in search(picture)]
    height, width = picture.shape[:2]
    for top, bottom in spans(height, tiles):
        for left, right in spans(width, tiles):
            found += _search_tile(picture, _Tile(left, top, right, bottom), search)
    ranked = sorted(found, key=lambda find: (find[0], -sureness(find[1])))
    return keep_first(hand for _, hand in ranked)


def spans(length: int, count: int, overlap: float = OVERLAP) -> list[tuple[int, int]]:
    """`count` spans of equal length that cover `length` pixels, neighbours sharing that part of a span."""
    span = min(length, math.ceil(length / (count - (count - 1) * overlap)))
    last = length - span
    starts = [round(index * last / (count - 1)) if count > 1 else 0 for index in range(count)]
    return [(start, start + span) for start in starts]


def _search_tile(picture: np.ndarray, tile: _Tile, search: Search) -> list[tuple[bool, Hand]]:
    """Whether the tile cut it, and the hand in the picture's pixels, for each that is found in the tile."""
    part = np.ascontiguousarray(picture[tile.top : tile.bottom, tile.left : tile.right])
    scale = max(1.0, SMALLEST_TILE / max(part.shape[:2]))
    if scale > 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    height, width = picture.shape[:2]
    hands = [_in_picture(hand, scale, tile, height, width) for hand in search(part)]
    return [(_is_cut(hand, tile, height, width), hand) for hand in hands]


def _in_picture(hand: Hand, scale: float, tile: _Tile, height: int, width: int) -> Hand:
    x, y, box_width, box_height = (value / scale for value in hand.box)
    box = clip_box((x + tile.left, y + tile.top, box_width, box_height), width, height)
    if hand.landmarks is None:
        return replace(hand, box=box)
    corner = np.array([tile.left, tile.top], dtype=np.float32)
    return replace(hand, box=box, landmarks=hand.landmarks / np.float32(scale) + corner)


def _is_cut(hand: Hand, tile: _Tile, height: int, width: int) -> bool:
    """Whether the box reaches a border of the tile that is none of the picture."""
    x, y, box_width, box_height = hand.box
    return (
        (tile.left > 0 and x < tile.left + 1)
        or (tile.top > 0 and y < tile.top + 1)
        or (tile.right < width and x + box_width > tile.right - 1)
        or (tile.bottom < height and y + box_height > tile.bottom - 1)
    )
