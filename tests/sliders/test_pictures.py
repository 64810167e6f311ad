import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fairhands.base_models import BaseModel
from fairhands.data.mannequin import draw
from fairhands.data.problems import Problems
from fairhands.sliders.pictures import central_square, latents_of, picture_files
from tests.sliders.conftest import NewWorld


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawn pictures, one of them in a subfolder and wider than high, and a file that is none."""
    (tmp_path / "pictures" / "more").mkdir(parents=True)
    Image.fromarray(draw(1, 96).picture).save(tmp_path / "pictures" / "a.png")
    wide = np.concatenate([np.zeros((128, 32, 3), np.uint8), draw(2, 128).picture, np.zeros((128, 32, 3), np.uint8)], 1)
    Image.fromarray(wide).save(tmp_path / "pictures" / "more" / "b.png")
    (tmp_path / "pictures" / "c.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def encoded(folder: Path, base: BaseModel, side: int = 64, mark: str = "base", problems: Problems | None = None):
    problems = problems or Problems()
    cache = folder.parent / "cache.pt"
    return latents_of(picture_files(folder, problems), base, mark, side, cache, problems)


def test_latents_are_those_of_the_central_squares(folder: Path, new_world: NewWorld) -> None:
    base = new_world().base
    latents = encoded(folder, base)
    assert latents.shape == (2, base.latent_channels, 8, 8)
    small = Image.fromarray(draw(2, 128).picture).resize((64, 64), Image.Resampling.BOX)
    own = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(latents[1:], base.encode(own), atol=0.1, rtol=0.1)


def test_an_unreadable_picture_is_named_and_stops_nothing(
    folder: Path, new_world: NewWorld, caplog: pytest.LogCaptureFixture
) -> None:
    problems = Problems()
    with caplog.at_level(logging.WARNING):
        assert len(encoded(folder, new_world().base, problems=problems)) == 2
    assert problems.counts == {"unreadable picture": 1}
    assert "c.png" in caplog.text


def test_they_are_encoded_again_only_where_something_changed(
    folder: Path, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, made = new_world().base, []
    encode = base.encode
    monkeypatch.setattr(base, "encode", lambda pictures: made.append(1) or encode(pictures))
    first = encoded(folder, base)
    assert torch.equal(encoded(folder, base), first)
    assert len(made) == 2
    encoded(folder, base, side=128)
    assert len(made) == 4
    encoded(folder, base, side=128, mark="another")
    assert len(made) == 6
    Image.fromarray(draw(3, 96).picture).save(folder / "d.png")
    assert len(encoded(folder, base, side=128, mark="another")) == 3


def test_a_folder_without_pictures_is_named(tmp_path: Path, new_world: NewWorld) -> None:
    with pytest.raises(ValueError, match=r"start.pictures is .*, which holds no pictures"):
        picture_files(tmp_path, Problems())
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of the 1 pictures of start.pictures can be read"):
        encoded(tmp_path, new_world().base)


def test_squares_are_cut_from_the_middle() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    assert (central_square(picture, 20) == 200).all()
    assert (central_square(picture.transpose(1, 0, 2), 64) == 200).all()
