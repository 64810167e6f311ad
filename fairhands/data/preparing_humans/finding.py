"""The stage that finds the faces and hands of each picture, and what the filters need to know of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...hands import files
from ...hands.detector import FaceDetector, HandDetector
from ...hands.regions import regions
from ..preparing import measures
from ..preparing.boxes import chosen_boxes
from ..preparing.cropping import as_tensor
from ..preparing.hands import hand_detector
from ..preparing.pieces import Pieces
from ..preparing.reading import read_picture
from ..preparing.records import Found, Picture, file_state, rows_of, write_piece
from ..preparing.tables import BoxTable
from ..problems import Problems
from ..sources.faults import Fault
from .pictures import fitted, write_png
from .records import FACE, REGIONS, Made, Part, Seen
from .settings import Settings

PICTURES_IN_PIECE = 32
LARGE_LOOK = 512  # a whole picture's sharpness is lost at the size of a hand's look


@dataclass(frozen=True)
class Detectors:
    """What finds faces and hands; None where annotations alone count."""

    faces: FaceDetector | None
    hands: HandDetector | None


def detectors(settings: Settings) -> Detectors:
    """Those that the settings ask for. Raises OSError or ValueError in one sentence where a file cannot be had."""
    faces, hands = None, None
    if settings.faces.detects:
        faces = FaceDetector(files.find(settings.models, files.FACE_DETECTOR), settings.faces.threshold)
    if settings.hands.detects:
        hands = hand_detector(settings.hands, settings.models, settings.download_missing)
    return Detectors(faces, hands)


def find_people(title: str, pictures: Sequence[Picture], settings: Settings, pieces: Pieces) -> None:
    """Make the pieces of this stage: a row for each readable picture, and the masks that its dataset has."""
    pieces.make(title, pictures, _described, partial(_find_in_piece, settings=settings, finders=detectors(settings)))


def found_people(pieces: Pieces, pictures: Sequence[Picture]) -> list[Seen]:
    """All readable pictures in their order."""
    by_key = {picture.key: picture for picture in pictures}
    return [_seen(row, folder, by_key[row["key"]]) for folder, row in rows_of(pieces)]


def _described(picture: Picture) -> list[Any]:
    masks = {region: file_state(path) for region, path in picture.example.masks.items()}
    return [*picture.described(), masks]


def _seen(row: dict[str, Any], folder: Path, picture: Picture) -> Seen:
    size = row["width"], row["height"]
    parts = (Part(**{**part, "box": tuple(part["box"])}, **_of(picture, *size)) for part in row["parts"])
    masks = {region: Made(folder / name, sha256) for region, (name, sha256) in row["masks"].items()}
    return Seen(picture, *size, row["sharpness"], row["hash"], tuple(parts), masks)


def _of(picture: Picture, width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "file": picture.example.picture}


def _find_in_piece(pictures: Sequence[Picture], folder: Path, settings: Settings, finders: Detectors) -> None:
    problems, rows = Problems(), []
    for picture in pictures:
        pixels = read_picture(picture.example.picture, problems)
        if pixels is not None:
            rows.append(_looked_at(picture, pixels, folder, settings, finders, problems))
    write_piece(folder, rows, problems)


def _looked_at(
    picture: Picture, pixels: np.ndarray, folder: Path, settings: Settings, finders: Detectors, problems: Problems
) -> dict[str, Any]:
    """The row of one picture, uint8 [H, W, 3]."""
    tensor, (height, width) = as_tensor(pixels), pixels.shape[:2]
    found, masks = {}, {}
    for region in REGIONS:
        table = settings.faces if region == FACE else settings.hands
        masked = None if table.boxes == "detected" else _masked(picture, region, (width, height), folder, problems)
        if masked is not None:
            masks[region], found[region] = masked
        else:
            found[region] = found_in(picture, region, pixels, table, finders, problems)
    whole = (0.0, 0.0, float(width), float(height))
    return {
        "key": picture.key,
        "width": width,
        "height": height,
        "sharpness": measures.sharpness(measures.standard_look(tensor, whole, LARGE_LOOK)),
        "hash": measures.looks(measures.standard_look(tensor, whole)),
        "parts": [_part(region, one, tensor) for region in REGIONS for one in found[region]],
        "masks": masks,
    }


def found_in(
    picture: Picture, region: str, pixels: np.ndarray, table: BoxTable, finders: Detectors, problems: Problems
) -> list[Found]:
    """The boxes of a region in one picture, uint8 [H, W, 3], by its annotations, the detector or both."""
    finder = finders.faces if region == FACE else finders.hands
    annotated = picture.example.faces if region == FACE else picture.example.hands

    def detect() -> list[Found]:
        return [] if finder is None else [Found(one.box, one.score) for one in finder.detect(pixels)]

    height, width = pixels.shape[:2]
    return chosen_boxes(picture, annotated, detect, width, height, table, problems)


def _part(region: str, found: Found, picture: torch.Tensor) -> dict[str, Any]:
    sharpness = measures.sharpness(measures.standard_look(picture, found.box))
    box = [round(value, 2) for value in found.box]
    return {"region": region, "box": box, "score": found.score, "sharpness": sharpness}


def _masked(
    picture: Picture, region: str, size: tuple[int, int], folder: Path, problems: Problems
) -> tuple[tuple[str, str], list[Found]] | None:
    """The file in the piece's folder and its hash, and the mask's parts; None where there is no usable mask."""
    path = picture.example.masks.get(region)
    if path is None:
        return None
    try:
        mask = fitted(path, size, "L")
    except Fault as fault:
        fault.note(problems, str(path))
        return None
    name = f"{picture.key}_{region}.png"
    parts = regions(torch.from_numpy(np.array(mask)).float() / 255)
    return (name, write_png(mask, folder / name)), [Found(box) for box in parts]
