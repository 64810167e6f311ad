"""Pictures are read upright and in colour, and those that cannot be read are named."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.preparing.reading import read_picture
from fairhands.data.problems import Problems

ORIENTATION = 274


def quarters() -> Image.Image:
    """Red left, green right above; blue below."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32, 0] = pixels[:16, 32:, 1] = pixels[16:, :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (6, 90), (3, 180), (8, 270)])
def test_a_picture_is_turned_as_its_camera_says(orientation: int, turned: int, tmp_path: Path):
    tag = Image.Exif()
    tag[ORIENTATION] = orientation
    quarters().rotate(turned, expand=True).save(path := tmp_path / "picture.png", exif=tag)
    picture = read_picture(path, Problems())
    assert picture is not None
    np.testing.assert_array_equal(picture, np.asarray(quarters()))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_kind_of_picture_becomes_rgb_bytes(mode: str, tmp_path: Path):
    Image.new(mode, (5, 4)).save(path := tmp_path / "picture.tif")
    picture = read_picture(path, Problems())
    assert picture is not None
    assert (picture.shape, picture.dtype) == ((4, 5, 3), np.uint8)


def test_what_is_no_picture_is_a_problem_with_its_name(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    problems = Problems()
    for name in ("text.jpg", "empty.png", "missing.webp", "."):
        assert read_picture(tmp_path / name, problems) is None
    assert problems.counts == {"unreadable picture": 4}
    assert all(name in line for name, line in zip(("text", "empty", "missing"), problems.lines, strict=False))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_damaged_picture_is_read_or_a_problem_and_raises_nothing(kind: str, tmp_path: Path):
    numbers, content, problems = random.Random(0), io.BytesIO(), Problems()
    quarters().save(content, kind)
    for _ in range(60):
        damaged = bytearray(content.getvalue())
        for _ in range(4):
            damaged[numbers.randrange(len(damaged))] = numbers.randrange(256)
        (tmp_path / "picture").write_bytes(damaged[: numbers.randrange(len(damaged))])
        read_picture(tmp_path / "picture", problems)
    assert problems.counts["unreadable picture"] > 0
