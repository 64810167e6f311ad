"""Masks of hands: drawn from what a detector found, brought to a picture's or a latent's size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch.nn import functional

from .hand import Hand

Shape = Literal["shape", "hull", "box"]

# Joints in MediaPipe's order: wrist, then thumb, index, middle, ring and little finger from base to tip.
WRIST, THUMB_BASE, INDEX_BASE, MIDDLE_BASE, LITTLE_BASE = 0, 1, 5, 9, 17
PALM = (0, 1, 5, 9, 13, 17)
FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
# Widths in a hand's own measure, the length of the palm: of the palm's rim, and of fingers from base to tip.
PALM_RIM = 0.26
FINGER_WIDTHS = (0.30, 0.27, 0.24)
# The palm is about 1.4 times as long as it is wide between the knuckles; the larger one is the less foreshortened.
LENGTH_TO_WIDTH = 1.4


@dataclass(frozen=True)
class MaskStyle:
    """How hands are drawn into a mask.

    `shape`: "shape" follows palm and fingers, "hull" is the convex hull of the joints, "box" the box; hands without
    joints are drawn as boxes. `padding`: growth relative to the hand's size, 0 or more; `dilation`: further growth in
    pixels; `feather`: width in pixels of the soft edge, which lies outside, so that the inside stays 1.
    Raises ValueError for an unknown shape or a negative number.
    """

    shape: Shape = "shape"
    padding: float = 0.15
    dilation: float = 0.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape is {self.shape!r}, expected one of {', '.join(get_args(Shape))}.")
        for name in ("padding", "dilation", "feather"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more.")


def draw_masks(hands: Sequence[Hand], height: int, width: int, style: MaskStyle) -> np.ndarray:
    """One mask of all hands, float32 `[height, width]`, 0..1; empty without hands, clipped at the border."""
    mask = np.zeros((height, width), np.float32)
    for hand in hands:
        core = np.zeros((height, width), np.uint8)
        _draw_core(core, hand, style.shape)
        if core.any():
            growth = style.padding * hand_size(hand) + style.dilation
            np.maximum(mask, _grown(core, growth, style.feather), out=mask)
    return mask


def hand_size(hand: Hand) -> float:
    """The longer side of a hand's box, in pixels."""
    return max(hand.box[2:])


def mask_to_latent(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Masks `[B, H, W]` at latent size, by area: a cell holds the share of it that the mask covers, never rounded off.

    Returns `[B, height, width]`.
    """
    return functional.interpolate(mask[:, None], size=(height, width), mode="area")[:, 0]


def fit_mask(mask: torch.Tensor, batch: int, height: int, width: int) -> torch.Tensor:
    """A mask as users have them, `[H, W]` or `[N, H, W]` of any size, as float32 `[batch, height, width]`, 0..1.

    Raises ValueError where N is neither 1 nor `batch`, or the shape is another.
    """
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim not in (2, 3):
        raise ValueError(f"mask has the shape {list(mask.shape)}, expected [height, width] or [batch, height, width].")
    stack = (mask if mask.ndim == 3 else mask[None]).detach().float()
    if len(stack) not in (1, batch):
        raise ValueError(f"mask holds {len(stack)} masks for {batch} pictures: give one mask, or one for each picture.")
    if stack.shape[1:] != (height, width):
        shrinks = stack.shape[1] >= height and stack.shape[2] >= width
        keywords = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
        stack = functional.interpolate(stack[:, None], size=(height, width), **keywords)[:, 0]
    return torch.nan_to_num(stack).clamp(0.0, 1.0).expand(batch, -1, -1).clone()


def _draw_core(core: np.ndarray, hand: Hand, shape: Shape) -> None:
    """Set the hand's pixels, before any growth, to 1."""
    if shape == "box" or hand.landmarks is None:
        x, y, width, height = hand.box
        corners = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
        cv2.rectangle(core, *corners, 1, cv2.FILLED)
    elif shape == "hull":
        cv2.fillConvexPoly(core, cv2.convexHull(_pixels(hand.landmarks)), 1)
    else:
        _draw_flesh(core, _pixels(hand.landmarks), palm_length(hand.landmarks))


def _draw_flesh(core: np.ndarray, joints: np.ndarray, length: float) -> None:
    """Palm and fingers as filled outlines and tapered strokes."""
    palm = cv2.convexHull(joints[list(PALM)])
    cv2.fillConvexPoly(core, palm, 1)
    cv2.polylines(core, [palm], isClosed=True, color=1, thickness=_stroke(PALM_RIM * length))
    for finger in FINGERS:
        for start, end, width in zip(finger[:-1], finger[1:], FINGER_WIDTHS, strict=True):
            cv2.line(core, joints[start].tolist(), joints[end].tolist(), 1, _stroke(width * length))


def palm_length(landmarks: np.ndarray) -> float:
    """Length of the palm in pixels, wrist to the middle finger's base, estimated also where it is foreshortened."""
    length = np.linalg.norm(landmarks[WRIST] - landmarks[MIDDLE_BASE])
    width = np.linalg.norm(landmarks[INDEX_BASE] - landmarks[LITTLE_BASE])
    return float(max(length, LENGTH_TO_WIDTH * width))


def _grown(core: np.ndarray, growth: float, feather: float) -> np.ndarray:
    """The core grown by `growth` pixels, then fading to 0 over `feather` pixels."""
    distance = cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if feather == 0:
        return (distance <= growth).astype(np.float32)
    fall = np.clip((distance - growth) / feather, 0.0, 1.0)
    return (1.0 - fall * fall * (3.0 - 2.0 * fall)).astype(np.float32)


def _pixels(landmarks: np.ndarray) -> np.ndarray:
    return np.rint(landmarks).astype(np.int32)


def _stroke(width: float) -> int:
    return max(1, round(width))
