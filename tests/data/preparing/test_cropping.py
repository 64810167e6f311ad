"""Crops hold their hand where they say, and are the same each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.preparing.cropping import as_tensor, box_in_crop, crops_of, cut_crops, encoded, square_crop
from fairhands.data.preparing.packing import sha256_of
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.reading import read_picture
from fairhands.data.preparing.records import Found, Picture
from fairhands.data.preparing.settings import CropSettings
from fairhands.data.problems import Problems
from fairhands.data.sources.example import Example

SETTINGS = CropSettings(size=96, margin=0.5)


def picture_with(box: tuple[int, int, int, int], height: int = 120, width: int = 200) -> np.ndarray:
    """Black, white in the box."""
    picture = np.zeros((height, width, 3), np.uint8)
    x, y, box_width, box_height = box
    picture[y : y + box_height, x : x + box_width] = 255
    return picture


@pytest.mark.parametrize(
    "box", [(80, 40, 40, 30), (0, 0, 20, 40), (170, 90, 30, 30), (10, 5, 180, 110), (95, 50, 4, 3)]
)
def test_the_hand_lies_in_the_crop_where_its_box_says(box: tuple[int, int, int, int]):
    picture = picture_with(box)
    crop = square_crop(as_tensor(picture), box, SETTINGS)
    assert crop.shape == (96, 96, 3)
    rows, columns = (np.flatnonzero((crop[..., 0] > 127).any(axis=axis)) for axis in (1, 0))
    x, y, width, height = box_in_crop(box, SETTINGS, 120, 200)
    assert (columns[0], rows[0]) == pytest.approx((max(x, 0), max(y, 0)), abs=1)
    if box != (10, 5, 180, 110):  # which is larger than the picture with its margin, and goes on beyond it
        assert (columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]) == pytest.approx((width, height), abs=1)


@pytest.mark.parametrize("kind", ["webp", "png", "jpeg"])
def test_crops_are_stored_as_chosen_and_look_as_they_were(kind: str, tmp_path: Path):
    pixels = np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
    (tmp_path / "crop").write_bytes(encoded(pixels, CropSettings(format=kind)))
    with Image.open(tmp_path / "crop") as file:
        assert file.format == kind.upper()
        error = np.abs(np.asarray(file.convert("RGB"), int) - pixels).mean()
    assert error == 0 if kind == "png" else error < 3


def test_each_hand_of_each_picture_becomes_a_file_and_a_row(tmp_path: Path):
    for name, box in (("a", (80, 40, 40, 30)), ("b", (20, 20, 50, 50))):
        Image.fromarray(picture_with(box)).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_text("")
    pictures = [
        (Picture(Example(tmp_path / f"{name}.png"), name, "real", f"{name}_real", f"{name}.png"), hands)
        for name, hands in (
            ("a", [Found((80, 40, 40, 30), 0.7), Found((0, 0, 10, 10))]),
            ("broken", [Found((0, 0, 9, 9))]),
            ("b", [Found((20, 20, 50, 50), 0.9)]),
        )
    ]
    work = tmp_path / "work"
    pieces = Pieces(work / "crops", {}, 2)
    cut_crops("test", pictures, SETTINGS, pieces)
    crops = crops_of(pieces, work)
    assert [crop.key for crop in crops] == ["a_real_0", "a_real_1", "b_real_0"]
    assert [crop.score for crop in crops] == [0.7, None, 0.9]
    assert {(crop.width, crop.height, crop.kind, crop.level) for crop in crops} == {(200, 120, "real", 0)}
    for crop in crops:
        assert sha256_of(work / crop.file) == crop.sha256
        stored = read_picture(work / crop.file, Problems())
        assert stored is not None
        assert stored.shape == (96, 96, 3)
    assert "broken.png" in (work / "crops" / "000000" / "problems.json").read_text()
