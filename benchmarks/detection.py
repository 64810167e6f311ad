"""Our hand detection against MediaPipe called bare on the same picture."""

import statistics
from typing import Any

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

from devtools.paths import MEDIAPIPE
from fairhands.data import mannequin
from fairhands.hands import files
from fairhands.hands.detector import HandDetector

from .pairs import interleave, timed

SIZES = (512, 1024)
PAIRS, REPEATS = 15, 5
THRESHOLD, MAX_HANDS = 0.3, 4


def run() -> dict[str, float]:
    """Milliseconds a picture and ratios, by size."""
    model = files.find(MEDIAPIPE, files.HAND_LANDMARKER)
    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        num_hands=MAX_HANDS,
        min_hand_detection_confidence=THRESHOLD,
    )
    figures: dict[str, float] = {}
    with (
        vision.HandLandmarker.create_from_options(options) as bare,
        HandDetector(model, threshold=THRESHOLD, max_hands=MAX_HANDS) as detector,
    ):
        for size in SIZES:
            picture = mannequin.draw(1, size, kind="right").picture
            figures |= _measure(bare, detector, picture, size)
    return figures


def _measure(bare: Any, detector: HandDetector, picture: np.ndarray, size: int) -> dict[str, float]:
    def ours() -> None:
        for _ in range(REPEATS):
            detector.detect(picture)

    def baseline() -> None:
        for _ in range(REPEATS):
            bare.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture))

    pairs = interleave(timed(ours), timed(baseline), PAIRS)
    return {
        f"detection_ms_{size}": round(statistics.median(pairs.ours) / REPEATS * 1000, 2),
        f"detection_bare_ms_{size}": round(statistics.median(pairs.baseline) / REPEATS * 1000, 2),
        **pairs.figures(f"detection_ratio_{size}"),
    }
