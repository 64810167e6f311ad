"""What all tests share: the prepared ComfyUI, the detector's files, and a detector on them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from devtools import browser, comfyui, environment, models
from devtools.comfyui import ComfyUI
from devtools.environment import Environment
from devtools.paths import MEDIAPIPE
from fairhands.hands import files
from fairhands.hands.detector import HandDetector

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("fairhands", deadline=None)
hypothesis.settings.load_profile("fairhands")


def _cannot_run(reason: str) -> NoReturn:
    """Something that tests need is not there: a failure under CI, and a reason to skip at a developer's machine."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def comfyui_set_up() -> tuple[ComfyUI, Environment]:
    """What a server needs: ComfyUI and its environment, with the model files."""
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None or models.missing():
        _cannot_run("ComfyUI, or a model file for it, is not there: run the tests with `python3 dev.py test`")
    return comfy_ui, prepared


@pytest.fixture(scope="session")
def browser_program() -> Path:
    """The browser that opens ComfyUI's page."""
    program = browser.find()
    if program is None:
        _cannot_run(browser.MISSING)
    return program


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
