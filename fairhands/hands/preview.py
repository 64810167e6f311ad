"""A picture with what was found in it, for people to look at."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from .hand import Hand

MASK_COLOUR = np.float32([1.0, 0.25, 0.2])
MASK_OPACITY = 0.45
SIDE_COLOURS = {"left": (40, 165, 255), "right": (255, 205, 25)}


def draw_hands(picture: torch.Tensor, hands: Sequence[Hand], mask: torch.Tensor) -> torch.Tensor:
    """Tint the mask and draw each hand's box with side and score.

    `picture`: float `[H, W, C]`, 0..1, `mask`: `[H, W]`; returns float32 `[H, W, 3]` on the CPU.
    """
    canvas = picture[..., :3].detach().cpu().float().numpy()
    opacity = MASK_OPACITY * mask.detach().cpu().float().numpy()[..., None]
    tinted = (canvas * (1 - opacity) + MASK_COLOUR * opacity).clip(0.0, 1.0)
    canvas = np.ascontiguousarray(np.rint(tinted * 255).astype(np.uint8))
    for hand in hands:
        _draw_hand(canvas, hand)
    return torch.from_numpy(canvas).float() / 255


def _draw_hand(canvas: np.ndarray, hand: Hand) -> None:
    # Lines and letters in proportion to the picture, so that they can be read at any size.
    unit = max(canvas.shape[:2]) / 500
    line = max(1, round(2 * unit))
    x, y, width, height = (round(value) for value in hand.box)
    colour = SIDE_COLOURS[hand.side]
    cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, line, cv2.LINE_AA)
    text, scale = f"{hand.side} {hand.score:.2f}", 0.5 * unit
    (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    left = min(max(x, 0), max(canvas.shape[1] - text_width, 0))
    bottom = y - base if y - base - text_height >= 0 else y + height + text_height + base
    cv2.rectangle(canvas, (left, bottom - text_height - base), (left + text_width, bottom + base), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, line // 2), cv2.LINE_AA)
