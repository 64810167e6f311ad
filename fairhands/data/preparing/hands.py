"""The stage that finds the hands of each picture."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...hands import files
from ...hands.detector import HandDetector
from ..problems import Problems
from .boxes import chosen_boxes
from .pieces import Pieces
from .reading import read_picture
from .records import Found, Picture, rows_of, write_piece
from .settings import HandSettings
from .tables import HandTable

PICTURES_IN_PIECE = 64


def detector(settings: HandSettings) -> HandDetector:
    """The detector that the settings ask for, its file downloaded where that was chosen.

    Raises OSError or ValueError in one sentence where its file cannot be had.
    """
    return hand_detector(settings, settings.models, settings.download_missing)


def hand_detector(settings: HandTable, models: Path, download_missing: bool) -> HandDetector:
    """The same on the file in that folder."""
    if download_missing and not files.present(models, files.HAND_LANDMARKER):
        files.download(files.HAND_LANDMARKER, models)
    path = files.find(models, files.HAND_LANDMARKER)
    return HandDetector(path, settings.threshold, settings.most, tiles=settings.tiles)


def find_hands(title: str, pictures: Sequence[Picture], settings: HandSettings, pieces: Pieces) -> None:
    """Make the pieces of this stage: a row for each readable picture with its size and its hands."""
    finder = detector(settings) if settings.detects else None
    pieces.make(title, pictures, Picture.described, partial(_find_in_piece, settings=settings, finder=finder))


def found_hands(pieces: Pieces) -> dict[str, list[Found]]:
    """The hands of all readable pictures by the picture's key."""
    rows = (row for _, row in rows_of(pieces))
    return {row["key"]: [_found(hand) for hand in row["hands"]] for row in rows}


def _found(row: dict) -> Found:
    x, y, width, height = row["box"]
    return Found((x, y, width, height), row["score"])


def _find_in_piece(
    pictures: Sequence[Picture], folder: Path, settings: HandSettings, finder: HandDetector | None
) -> None:
    problems, rows = Problems(), []
    for picture in pictures:
        pixels = read_picture(picture.example.picture, problems)
        if pixels is not None:
            hands = hands_of(picture, pixels, settings, finder, problems)
            rows.append({"key": picture.key, "hands": [{"box": hand.box, "score": hand.score} for hand in hands]})
    write_piece(folder, rows, problems)


def hands_of(
    picture: Picture, pixels: np.ndarray, settings: HandSettings, finder: HandDetector | None, problems: Problems
) -> list[Found]:
    """The hands of one picture, uint8 [H, W, 3], by its annotations, the detector or both."""
    height, width = pixels.shape[:2]

    def detect() -> list[Found]:
        return [] if finder is None else [Found(hand.box, hand.score) for hand in finder.detect(pixels)]

    return chosen_boxes(picture, picture.example.hands, detect, width, height, settings, problems)
