"""What all tests share: the detector's files, and a detector on them."""

from pathlib import Path

import pytest

from devtools.paths import MEDIAPIPE
from fairhands.hands import files
from fairhands.hands.detector import HandDetector


@pytest.fixture(scope="session")
def mediapipe_models() -> Path:
    """The folder of MediaPipe's model files."""
    if not all(files.present(MEDIAPIPE, model) for model in files.MODELS):
        pytest.fail(f"MediaPipe's model files are not in {MEDIAPIPE}: run `python3 dev.py models`.")
    return MEDIAPIPE


@pytest.fixture(scope="session")
def hand_detector(mediapipe_models: Path) -> HandDetector:
    """A hand detector with threshold 0.3."""
    return HandDetector(mediapipe_models / files.HAND_LANDMARKER.name, threshold=0.3)
