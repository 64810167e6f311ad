"""The inputs by which nodes find hands, and the detector that they stand for."""

from comfy_api.latest import io

from ..fairhands.hands import files
from ..fairhands.hands.detector import HandDetector
from .model_folders import detector_file


def threshold_input(name: str, default: float) -> io.Float.Input:
    """The detector's threshold as an input."""
    return io.Float.Input(
        name,
        default=default,
        min=0.05,
        max=1.0,
        step=0.01,
        tooltip="How sure the detector must be that something is a hand. Lower finds more, and more that is none.",
    )


def download_input() -> io.Boolean.Input:
    """The user's say that a missing detector file may be fetched."""
    return io.Boolean.Input(
        "download_missing",
        default=False,
        tooltip=(
            "Fetch MediaPipe's hand_landmarker.task (8 MB, from its makers, checked by hash) into models/mediapipe/ "
            "if it is not there. Off: nothing is ever downloaded."
        ),
    )


def hand_detector(
    download_missing: bool, threshold: float, max_hands: int = 4, min_size: float = 0.0, tiles: int = 1
) -> HandDetector:
    """MediaPipe's hand detector on the file in `models/mediapipe`."""
    model = detector_file(files.HAND_LANDMARKER, download_missing)
    return HandDetector(model, threshold=threshold, max_hands=max_hands, min_size=min_size, tiles=tiles)
