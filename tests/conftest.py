"""What all tests share: the detector's files, and a detector on them."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from devtools.paths import MEDIAPIPE
from fairhands.hands import files
from fairhands.hands.detector import HandDetector

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("fairhands", deadline=None)
hypothesis.settings.load_profile("fairhands")


@pytest.fixture(scope="session")
def mediapipe_models() -> Path:
    """The folder of MediaPipe's model files: FAIRHANDS_MEDIAPIPE, or where the set-up puts them."""
    folder = Path(os.environ.get("FAIRHANDS_MEDIAPIPE") or MEDIAPIPE)
    if not all(files.present(folder, model) for model in files.MODELS):
        pytest.fail(f"MediaPipe's model files are not in {folder}: run `python3 dev.py models`.", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def hand_detector(mediapipe_models: Path) -> Iterator[HandDetector]:
    """A hand detector with threshold 0.3."""
    with HandDetector(files.find(mediapipe_models, files.HAND_LANDMARKER), threshold=0.3) as detector:
        yield detector
