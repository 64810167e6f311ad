"""How a picture comes into its bucket: resized, cropped, perhaps mirrored, by one map for all that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from ..hands.hand import Box
from .buckets import Size


@dataclass(frozen=True)
class Placement:
    """The map from a picture to its bucket. Picture, conditioning, masks and boxes all go through it.

    A point x of the picture lies at x * resized / width - left in the bucket, from the right border if mirrored;
    likewise y. Pixels are squares between whole numbers.

    Args:
        picture: size of the picture.
        resized: size that it is resized to, no side smaller than the bucket's.
        left, top: corner of the crop in the resized picture.
        bucket: size of the crop.
        flip: whether the crop is mirrored.
    """

    picture: Size
    resized: Size
    left: int
    top: int
    bucket: Size
    flip: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Placement:
        """The placement of a row that `asdict` made and JSON kept."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
        return cls(**plain)

    def mirrored(self) -> Placement:
        """The same with the other flip."""
        return replace(self, flip=not self.flip)

    def across(self, xs: np.ndarray) -> np.ndarray:
        """Where x coordinates of the picture lie in the bucket, float64."""
        inside = xs * (self.resized[0] / self.picture[0]) - self.left
        return self.bucket[0] - inside if self.flip else inside

    def down(self, ys: np.ndarray) -> np.ndarray:
        """Where y coordinates of the picture lie in the bucket, float64."""
        return ys * (self.resized[1] / self.picture[1]) - self.top

    def placed(self, picture: np.ndarray) -> np.ndarray:
        """A picture of that size, uint8 [H, W, 3], as uint8 [bucket height, bucket width, 3]."""
        shrinks = self.resized[0] <= self.picture[0] and self.resized[1] <= self.picture[1]
        whole = cv2.resize(picture, self.resized, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        crop = whole[self.top : self.top + self.bucket[1], self.left : self.left + self.bucket[0]]
        return np.ascontiguousarray(crop[:, ::-1] if self.flip else crop)

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's further conditions: height and width of the picture, top and left of the crop as it is shown, height
        and width of the bucket."""
        left = self.resized[0] - self.bucket[0] - self.left if self.flip else self.left
        return self.picture[1], self.picture[0], self.top, left, self.bucket[1], self.bucket[0]


def placement(picture: Size, bucket: Size, kept: Sequence[Box] = ()) -> Placement:
    """The map of a picture into its bucket that covers it and crops least; the same for the same arguments.

    Args:
        picture: its size.
        bucket: the size that it is brought to.
        kept: boxes that the crop should hold, in pixels of the picture. It lies where it keeps most of them, each
            counting alike by the share of its width and height, and of such places nearest to the middle.
    """
    (width, height), (across, down) = picture, bucket
    scale = max(across / width, down / height)
    resized = max(across, round(width * scale)), max(down, round(height * scale))
    by_x = [(x * resized[0] / width, (x + w) * resized[0] / width) for x, _, w, _ in kept]
    by_y = [(y * resized[1] / height, (y + h) * resized[1] / height) for _, y, _, h in kept]
    return Placement(picture, resized, _begin(resized[0], across, by_x), _begin(resized[1], down, by_y), bucket)


def _begin(length: int, shown: int, kept: Sequence[tuple[float, float]]) -> int:
    """Where a crop of `shown` pixels begins on a side of that length, to hold most of some intervals."""
    begins = np.arange(length - shown + 1)
    held = np.zeros(len(begins))
    for low, high in kept:
        inside = np.minimum(high, begins + shown) - np.maximum(low, begins)
        held += inside.clip(0) / (high - low)
    best = begins[held >= held.max() - 1e-9]
    return int(best[np.argmin(np.abs(best - (length - shown) / 2))])
