"""A picture of a dataset, and what its annotations say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ...hands.hand import Box

Unit = Literal["pixels", "share"]


@dataclass(frozen=True, eq=False)
class Example:
    """One picture of a dataset.

    Args:
        picture: its file.
        hands, faces: boxes (x and y of the upper left corner, width, height); None where the dataset does not say,
            empty where it says that there is none.
        unit: of boxes and keypoints: pixels, or shares of the picture's width and height.
        text: its caption, where there is one.
        keypoints: for each person, by part ("body", "feet", "face", "left_hand", "right_hand"; "hand" where the
            dataset does not tell which), float32 [K, 3]: x, y, visibility (0 not there).
        place: where it stands in the annotations, for messages: "train.json, image 17".
        masks: pictures of what belongs to a part, white where it does, by part ("hand", "face").
        conditioning: the picture that a ControlNet is shown with this one.
    """

    picture: Path
    hands: tuple[Box, ...] | None = None
    faces: tuple[Box, ...] | None = None
    unit: Unit = "pixels"
    text: str | None = None
    keypoints: tuple[dict[str, np.ndarray], ...] = field(default=())
    place: str = ""
    masks: Mapping[str, Path] = field(default_factory=dict)
    conditioning: Path | None = None

    def in_pixels(self, boxes: tuple[Box, ...] | None, width: int, height: int) -> tuple[Box, ...] | None:
        """Boxes of this example in pixels of its picture, whose size is only known once it is opened."""
        if boxes is None or self.unit == "pixels":
            return boxes
        return tuple((x * width, y * height, w * width, h * height) for x, y, w, h in boxes)
