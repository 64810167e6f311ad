"""Pictures that show how right their hands are."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from .hand import Box

RGB = tuple[int, int, int]

DARK: RGB = (16, 16, 16)
GREY: RGB = (190, 190, 190)
GOLD: RGB = (255, 200, 40)
GREEN_HUE = 1 / 3
FONT = cv2.FONT_HERSHEY_SIMPLEX
# Of the side of a square as large as the picture; letters at scale 1 are 22 pixels high.
LETTERS_OF_PICTURE = 1 / 660
SMALLEST_LETTERS = 0.4
MARGIN_OF_LETTERS = 1 / 4
LINE_OF_PICTURE = 1 / 300
FRAME_OF_PICTURE = 1 / 80


def score_colour(score: float) -> RGB:
    """From red at 0 over yellow to green at 1."""
    red, green, blue = colorsys.hsv_to_rgb(min(max(score, 0.0), 1.0) * GREEN_HUE, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_scores(
    picture: np.ndarray, boxes: Sequence[Box], scores: Sequence[float], caption: str, best: bool
) -> torch.Tensor:
    """The picture with each hand's box and score over it, and a caption; float32 `[H, W, 3]`, 0..1.

    `picture`: uint8 RGB `[H, W, 3]`, not changed. `scores`: 0..1, one for each box. `caption`: for the lower left
    corner, on gold in a golden frame where the picture is the `best`, else on grey. Lines and letters grow with the
    picture.
    """
    canvas = picture.copy()
    frame = _share(canvas, FRAME_OF_PICTURE) if best else 0
    _draw_frame(canvas, frame)
    for box, score in zip(boxes, scores, strict=True):
        _draw_box(canvas, box, score_colour(score))
    for box, score in zip(boxes, scores, strict=True):
        _draw_score(canvas, box, score)
    _write(canvas, caption, (frame, canvas.shape[0] - frame), GOLD if best else GREY)
    return torch.from_numpy(canvas).float() / 255


def _share(canvas: np.ndarray, share: float) -> int:
    """A share of the picture's side in whole pixels, at least 1."""
    return max(1, round(_side(canvas) * share))


def _side(canvas: np.ndarray) -> float:
    """The side of a square as large as the picture."""
    return (canvas.shape[0] * canvas.shape[1]) ** 0.5


def _draw_frame(canvas: np.ndarray, width: int) -> None:
    for inset in range(width):
        end = canvas.shape[1] - 1 - inset, canvas.shape[0] - 1 - inset
        cv2.rectangle(canvas, (inset, inset), end, GOLD, 1)


def _draw_box(canvas: np.ndarray, box: Box, colour: RGB) -> None:
    x, y, width, height = box
    start, end = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
    thickness = _share(canvas, LINE_OF_PICTURE)
    cv2.rectangle(canvas, start, end, DARK, thickness + 2)
    cv2.rectangle(canvas, start, end, colour, thickness)


def _draw_score(canvas: np.ndarray, box: Box, score: float) -> None:
    """The score above the box's upper left corner, or inside of it where the picture ends."""
    text = f"{score:.2f}"
    height = _measured(canvas, text)[2]
    left, top = round(box[0]), round(box[1])
    _write(canvas, text, (left, top if top >= height else top + height), score_colour(score))


def _measured(canvas: np.ndarray, text: str) -> tuple[float, int, int, int]:
    """Scale of the letters; width, height and margin of the text's bar in pixels."""
    scale = max(SMALLEST_LETTERS, _side(canvas) * LETTERS_OF_PICTURE)
    (width, height), _ = cv2.getTextSize(text, FONT, scale, _weight(scale))
    margin = max(2, round(height * MARGIN_OF_LETTERS))
    return scale, width + 2 * margin, height + 2 * margin, margin


def _weight(scale: float) -> int:
    return max(1, round(scale * 1.5))


def _write(canvas: np.ndarray, text: str, corner: tuple[int, int], colour: RGB) -> None:
    """Dark letters on a bar of colour whose lower left corner is this one, moved to the left into the picture."""
    scale, width, height, margin = _measured(canvas, text)
    left, bottom = max(0, min(corner[0], canvas.shape[1] - width)), corner[1]
    cv2.rectangle(canvas, (left, bottom - height), (left + width - 1, bottom - 1), colour, cv2.FILLED)
    place = left + margin, bottom - margin
    cv2.putText(canvas, text, place, FONT, scale, DARK, _weight(scale), cv2.LINE_AA)
