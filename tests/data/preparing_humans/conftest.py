"""Datasets of drawn people for the stages of a preparation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.data.preparing.records import Picture
from fairhands.data.preparing_humans.records import Part, Seen
from fairhands.data.sources.example import Example

MakeSeen = Callable[..., Seen]

SIZE = 192


def person(seed: int, size: int = SIZE):
    """A drawn person who raises both hands."""
    return draw(seed, size, hands=2, body=True)


@pytest.fixture
def make_seen(tmp_path: Path) -> MakeSeen:
    """Makes a picture that was looked at, 120 x 100, with boxes of its face and hands; its file is written."""

    def make(key: str = "a", boxes: dict[str, list[tuple]] | None = None, score: float | None = 0.9, **more) -> Seen:
        path = tmp_path / f"{key}.png"
        level = sum(map(ord, key)) % 256
        Image.fromarray(np.full((100, 120, 3), level, np.uint8)).save(path)
        picture = Picture(Example(path, **more.pop("example", {})), key, "real", f"{key}_real", path.name)
        parts = tuple(
            Part(region, box, score, 100.0, 120, 100, path) for region, some in (boxes or {}).items() for box in some
        )
        values = {"width": 120, "height": 100, "sharpness": 50.0, "hash": level * 0x0101010101010101, "parts": parts}
        return Seen(picture, **{**values, **more})

    return make


@pytest.fixture(scope="session")
def wholebody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn people as COCO-WholeBody; one annotated file is no picture, and one person has no hands annotated."""
    folder = tmp_path_factory.mktemp("wholebody")
    (folder / "annotations").mkdir()
    (folder / "val2017").mkdir()
    images, annotations = [], []
    for number in range(5):
        drawn = person(number)
        path = folder / "val2017" / f"{number:012}.png"
        Image.fromarray(drawn.picture).save(path)
        (path.with_suffix(".txt")).write_text(f"person {number}")
        if number == 4:
            path.write_text("no picture")
        images.append({"id": number, "file_name": path.name, "width": SIZE, "height": SIZE})
        annotations.append(annotation(number, drawn.face_box, None if number == 3 else drawn.boxes))
    content = {"images": images, "annotations": annotations}
    (folder / "annotations" / "coco_wholebody_val_v1.0.json").write_text(json.dumps(content))
    return folder


def annotation(number: int, face: tuple, hands: tuple | None) -> dict:
    """One person of COCO-WholeBody whose shoulders, elbows and wrists are seen."""
    body = np.zeros((17, 3), int)
    body[5:11] = [(120, 110, 2), (70, 110, 2), (140, 140, 2), (50, 140, 2), (150, 90, 1), (40, 90, 1)]
    left, right = hands or ((0, 0, 0, 0), (0, 0, 0, 0))
    return {
        "image_id": number,
        "keypoints": body.reshape(-1).tolist(),
        **{"face_box": list(face), "face_valid": True, "face_kpts": [0] * 204},
        **{"lefthand_box": list(left), "lefthand_valid": hands is not None, "lefthand_kpts": [0] * 63},
        **{"righthand_box": list(right), "righthand_valid": hands is not None, "righthand_kpts": [0] * 63},
        **{"foot_kpts": [0] * 18, "foot_valid": False},
    }


@pytest.fixture(scope="session")
def fair_human(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn people in FairHuman's own form: a picture for a ControlNet, and masks, of which one is empty."""
    folder = tmp_path_factory.mktemp("fair_human")
    lines = []
    for number in range(2):
        drawn = person(number)
        face = np.zeros((SIZE, SIZE), np.uint8)
        if number == 0:
            x, y, width, height = drawn.face_box
            face[y : y + height, x : x + width] = 255
        pictures = {"image": drawn.picture, "conditioning_image": 255 - drawn.picture}
        masks = {"mask_hand": (drawn.mask * 255).astype(np.uint8), "mask_face": face}
        for key, picture in {**pictures, **masks}.items():
            Image.fromarray(picture).save(folder / f"{key}_{number}.png")
        names = {key: f"{key}_{number}.png" for key in (*pictures, *masks)}
        lines.append(json.dumps({**names, "text_english": f"person {number}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder
