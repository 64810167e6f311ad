"""Pictures that show what was found in them."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image

from .hand import Face, Hand
from .pictures import as_rgb
from .skeleton import BONES, PALM

COLOURS = {"left": (64, 196, 255), "right": (255, 176, 48)}
FACE_COLOUR = (120, 230, 120)
MASK_COLOUR = (255, 40, 90)
MASK_OPACITY = 0.4
_DARK = (16, 16, 16)
_PALM_LINES = tuple(zip(PALM, (*PALM[1:], PALM[0]), strict=True))


def draw_hands(picture: torch.Tensor, found: Sequence[Hand | Face], mask: torch.Tensor | None = None) -> torch.Tensor:
    """The picture with boxes, scores, sides and joints over it, and the mask as a tint; float32 `[H, W, 3]`, 0..1.

    `picture`: `[H, W, 3]`, floating point 0..1; `mask`: `[H, W]`, 0..1. Lines and letters grow with the picture.
    """
    canvas = as_rgb(picture.detach().float().cpu().numpy()).copy()
    if mask is not None:
        opacity = mask.detach().float().cpu().numpy()[..., None] * MASK_OPACITY
        canvas = np.rint(canvas * (1 - opacity) + np.array(MASK_COLOUR) * opacity).astype(np.uint8)
    for hand in found:
        if isinstance(hand, Hand) and hand.landmarks is not None:
            _draw_joints(canvas, hand.landmarks, COLOURS[hand.side])
    for item in found:
        _draw_box(canvas, item)
    for item in found:
        _draw_label(canvas, item)
    return torch.from_numpy(canvas).float() / 255


def _colour(item: Hand | Face) -> tuple[int, int, int]:
    return COLOURS[item.side] if isinstance(item, Hand) else FACE_COLOUR


def _line_width(canvas: np.ndarray) -> int:
    return max(1, round(max(canvas.shape[:2]) / 400))


def _draw_joints(canvas: np.ndarray, landmarks: np.ndarray, colour: tuple[int, int, int]) -> None:
    points = [(int(x), int(y)) for x, y in np.rint(landmarks)]
    thickness = _line_width(canvas)
    for one, other in (*_PALM_LINES, *BONES):
        cv2.line(canvas, points[one], points[other], _DARK, thickness + 2, cv2.LINE_AA)
        cv2.line(canvas, points[one], points[other], colour, thickness, cv2.LINE_AA)
    for point in points:
        cv2.circle(canvas, point, thickness + 1, _DARK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, point, thickness, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)


def _draw_box(canvas: np.ndarray, item: Hand | Face) -> None:
    x, y, width, height = item.box
    start, end = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
    thickness = _line_width(canvas)
    cv2.rectangle(canvas, start, end, _DARK, thickness + 2)
    cv2.rectangle(canvas, start, end, _colour(item), thickness)


def _draw_label(canvas: np.ndarray, item: Hand | Face) -> None:
    """Dark letters on the box's colour above its corner, or below it where the picture ends."""
    text = f"{item.side if isinstance(item, Hand) else 'face'} {item.score:.2f}"
    corner = round(item.box[0]), round(item.box[1])
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, max(canvas.shape[:2]) / 1400)
    thickness = max(1, round(scale * 1.5))
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = corner[1] if corner[1] >= height + below else corner[1] + height + below
    cv2.rectangle(canvas, (left, bottom - height - below), (left + width, bottom), _colour(item), cv2.FILLED)
    cv2.putText(canvas, text, (left, bottom - below // 2 - 1), font, scale, _DARK, thickness, cv2.LINE_AA)


def outline(picture: Image.Image, mask: torch.Tensor) -> Image.Image:
    """A picture with the outline of a mask `[H, W]`, 0..1, of any size."""
    canvas = np.array(picture.convert("RGB"))
    inside = (mask.detach().float().cpu().numpy() > 0.5).astype(np.uint8)
    fitted = cv2.resize(inside, picture.size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(fitted, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, MASK_COLOUR, 1)
    return Image.fromarray(canvas)
