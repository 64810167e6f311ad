from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.sources.faults import Fault
from fairhands.people.reading import read_mask, read_sized


def save(path: Path, pixels: np.ndarray, exif: Image.Exif | None = None) -> Path:
    Image.fromarray(pixels).save(path, exif=exif or Image.Exif())
    return path


def test_pictures_are_turned_as_their_camera_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    path = save(tmp_path / "a.png", pixels, exif=exif)
    assert (read_sized(path, (20, 30)) == np.rot90(pixels, -1)).all()


def test_pictures_without_colour_get_three_channels(tmp_path: Path) -> None:
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert (read_sized(save(tmp_path / "a.png", grey), (20, 10)) == grey[..., None]).all()


def test_what_cannot_be_read_is_told_from_what_is_missing_or_of_another_size(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:3000])
    for name, size, kind in (
        ("missing.png", (64, 64), "missing picture"),
        ("broken.png", (64, 64), "unreadable picture"),
        ("cut.png", (64, 64), "unreadable picture"),
        ("whole.png", (64, 32), "picture of another size"),
    ):
        with pytest.raises(Fault, match=name) as caught:
            read_sized(tmp_path / name, size)
        assert caught.value.kind == kind
    with pytest.raises(Fault, match="has 64 x 64 pixels, its line says 64 x 32"):
        read_sized(whole, (64, 32))


def test_a_mask_that_is_white_nowhere_and_empty_nowhere_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    assert not read_mask(save(tmp_path / "empty.png", mask), (8, 8)).any()
    mask[2:4, 2:4] = 1
    with pytest.raises(Fault, match="is at most 1 bright, expected 255"):
        read_mask(save(tmp_path / "dark.png", mask), (8, 8))
    bilevel = Image.fromarray(mask * 255).convert("1")
    bilevel.save(tmp_path / "bilevel.png")
    assert (read_mask(tmp_path / "bilevel.png", (8, 8)) == mask * 255).all()
