"""Masks of hands: drawn, and brought to another size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch.nn import functional

from .hand import Hand
from .skeleton import BONES, PALM, THUMB_WEB, joint_radii

Shape = Literal["box", "hull", "shape"]

# cv2 takes coordinates as integers with this many binary digits behind the point.
_FRACTION_BITS = 4
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 32)), np.sin(np.linspace(0, 2 * np.pi, 32))], axis=1)


@dataclass(frozen=True)
class MaskStyle:
    """How hands become a mask.

    `shape`: the `box`, the convex `hull` of the hand, or its `shape` with each finger; a hand without landmarks is
    always a box. `padding` grows it by this share of the longer side of the hand's box, `dilation` by pixels.
    `feather`: pixels in which the edge fades out. It fades outward, so a soft mask is nowhere below the hard one.
    Raises ValueError for an unknown shape and for what is negative.
    """

    shape: Shape = "shape"
    padding: float = 0.15
    dilation: float = 0.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape is {self.shape!r}, expected one of {', '.join(get_args(Shape))}.")
        for name in ("padding", "dilation", "feather"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}, expected 0 or more.")


def draw_masks(hands: Sequence[Hand], height: int, width: int, style: MaskStyle) -> np.ndarray:
    """One mask of all hands: float32 `[height, width]`, 1 on hands, 0 elsewhere, between in a feathered edge.

    Hands partly or wholly outside the picture are cut off at its border.
    """
    canvas = np.zeros((height, width), dtype=np.uint8)
    for hand in hands:
        _draw_hand(canvas, hand, style)
    if style.feather > 0 and canvas.any():
        return _feathered(canvas, style.feather)
    return canvas.astype(np.float32)


def mask_to_latent(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A mask `[B, H, W]` at latent size by area: float32 `[B, height, width]`, the share of a cell that is masked.

    Every pixel counts in at least one cell, so no masked pixel is lost, whatever the sizes.
    """
    return functional.adaptive_avg_pool2d(mask[:, None].float(), (height, width))[:, 0].clamp(0, 1)


def fit_mask(mask: torch.Tensor, batch: int, height: int, width: int) -> torch.Tensor:
    """A user's mask at the size of a batch of pictures: float32 `[batch, height, width]`, 0..1, in its own memory.

    `mask`: `[H, W]`, `[N, H, W]` or `[N, 1, H, W]`, N being 1 (for all pictures) or `batch`.
    Raises ValueError for another shape or number.
    """
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"mask has the shape {list(mask.shape)}, expected [height, width] or [batch, height, width].")
    if len(mask) not in (1, batch):
        raise ValueError(f"mask is for {len(mask)} pictures, expected 1 or {batch}: give one mask, or one for each.")
    fitted = mask.detach().float().nan_to_num().clamp(0, 1)
    if fitted.shape[1:] != (height, width):
        # Antialiasing makes it an average where it shrinks and leaves it bilinear where it grows.
        fitted = functional.interpolate(fitted[:, None], (height, width), mode="bilinear", antialias=True)[:, 0]
    return fitted.repeat(batch // len(fitted), 1, 1).clamp(0, 1)


def _draw_hand(canvas: np.ndarray, hand: Hand, style: MaskStyle) -> None:
    growth = style.padding * max(hand.box[2:]) + style.dilation
    if hand.landmarks is None or style.shape == "box":
        _fill_box(canvas, hand, growth)
        return
    radii = joint_radii(hand.landmarks) + growth
    parts = [PALM, THUMB_WEB, *BONES] if style.shape == "shape" else [range(len(radii))]
    for part in parts:
        _fill_around_discs(canvas, hand.landmarks[list(part)], radii[list(part)])


def _fill_box(canvas: np.ndarray, hand: Hand, growth: float) -> None:
    """Every pixel that the grown box touches."""
    height, width = canvas.shape
    x, y, box_width, box_height = hand.box
    left, top = max(math.floor(x - growth), 0), max(math.floor(y - growth), 0)
    right, bottom = min(math.ceil(x + box_width + growth), width), min(math.ceil(y + box_height + growth), height)
    canvas[top : max(bottom, top), left : max(right, left)] = 1


def _fill_around_discs(canvas: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> None:
    """The convex hull of discs: of two it is a tapered bone, of all a mitten."""
    outline = (centres[:, None] + radii[:, None, None] * _CIRCLE).reshape(-1, 2)
    # Landmarks count from a pixel's corner, cv2 from its middle. Far outside, cv2's integers would overflow.
    limit = 4 * max(canvas.shape)
    outline = np.clip(outline - 0.5, -limit, limit)
    hull = cv2.convexHull(outline.astype(np.float32))
    cv2.fillConvexPoly(canvas, np.rint(hull * 2**_FRACTION_BITS).astype(np.int32), 1, shift=_FRACTION_BITS)


def _feathered(canvas: np.ndarray, feather: float) -> np.ndarray:
    """Fade from 1 at the mask's edge to 0 at `feather` pixels outside of it, without a kink at either end."""
    reach = math.ceil(feather) + 1
    x, y, width, height = cv2.boundingRect(canvas)
    # Nothing changes further away, and distances are slow to measure.
    near = slice(max(y - reach, 0), y + height + reach), slice(max(x - reach, 0), x + width + reach)
    distance = cv2.distanceTransform(1 - canvas[near], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip(1 - distance / np.float32(feather + 1), 0, 1)
    mask = np.zeros(canvas.shape, dtype=np.float32)
    mask[near] = share * share * (3 - 2 * share)
    return mask
