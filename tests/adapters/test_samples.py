from pathlib import Path

import pytest
import torch
from PIL import Image

from fairhands.adapters.samples import GAP, TITLE_HEIGHT, Row, along_scales, noise_of, scale_names, write_sheet
from tests.adapters.bases import adapted, tiny

SIDE = 64


def test_pictures_are_what_the_base_makes_at_each_scale(tmp_path: Path) -> None:
    base = tiny("mannequin", tmp_path)
    adapter = adapted(base)
    noise = noise_of(3, (base.latent_channels, 8, 8))
    text, nothing = base.encode_text(["hand"]), base.encode_text([""])
    scales = (-1.0, 0.0, 1.0)
    found = along_scales(base, adapter, text, nothing, noise, scales, 3, 2.0)
    assert found.shape == (3, 3, SIDE, SIDE)
    for scale, picture in zip(scales, found, strict=True):
        with adapter.scaled(scale), torch.no_grad():
            own = base.decode(base.sample(text, nothing, noise, 3, 2.0))
        torch.testing.assert_close(picture, own[0])
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[2], found[1])


def test_the_same_seed_is_the_same_noise() -> None:
    assert torch.equal(noise_of(1, (4, 8, 8)), noise_of(1, (4, 8, 8)))
    assert not torch.equal(noise_of(1, (4, 8, 8)), noise_of(2, (4, 8, 8)))


def test_a_sheet_shows_each_picture_under_its_labels(tmp_path: Path) -> None:
    colours = torch.linspace(0.1, 0.9, 6)[:, None, None, None].expand(6, 3, 64, 64)
    rows = [Row("hand, seed 0", colours[:3]), Row("hand, seed 1", colours[3:])]
    write_sheet(tmp_path / "samples" / "sheet.png", rows, scale_names([-1.0, 0.0, 2.5]))
    sheet = Image.open(tmp_path / "samples" / "sheet.png")
    assert sheet.size == (3 * (64 + GAP), TITLE_HEIGHT + 2 * (TITLE_HEIGHT + 64 + GAP))
    for row in range(2):
        for column in range(3):
            place = (column * (64 + GAP) + 32, TITLE_HEIGHT + row * (TITLE_HEIGHT + 64 + GAP) + TITLE_HEIGHT + 32)
            expected = round(float(colours[3 * row + column, 0, 0, 0]) * 255)
            assert sheet.getpixel(place) == pytest.approx((expected,) * 3, abs=1)
    label = sheet.crop((0, 0, 64, TITLE_HEIGHT)).convert("L").getextrema()
    title = sheet.crop((0, TITLE_HEIGHT, 64, 2 * TITLE_HEIGHT)).convert("L").getextrema()
    assert label[0] < 100 < label[1]
    assert title[0] < 100 < title[1]


def test_pictures_of_several_sizes_share_a_sheet(tmp_path: Path) -> None:
    rows = [Row("small", torch.rand(2, 3, 64, 64)), Row("large", torch.rand(2, 3, 128, 128))]
    write_sheet(tmp_path / "sheet.png", rows, ["without", "with"])
    assert Image.open(tmp_path / "sheet.png").width == 2 * (128 + GAP)


def test_pictures_keep_their_shape(tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", [Row("wide", torch.rand(2, 3, 64, 128))], ["without", "with"])
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (2 * (128 + GAP), 2 * TITLE_HEIGHT + 64 + GAP)
