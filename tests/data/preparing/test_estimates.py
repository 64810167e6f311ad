"""Estimates are what a base model makes of pictures at the noise that guidance meets."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairhands.base_models import BaseModel, load
from fairhands.data.mannequin import draw
from fairhands.data.preparing.estimates import (
    EstimateSettings,
    clean_estimates,
    estimates_of,
    fitted_size,
    make_estimates,
)
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.records import PROBLEMS, Picture
from fairhands.data.sources.example import Example

FILE = Path(__file__).parents[3] / "weights" / "checkpoints" / "mannequin_model.safetensors"


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return load(FILE)


def drawn(count: int) -> torch.Tensor:
    pictures = [torch.from_numpy(draw(seed, 128, studio=True).picture) for seed in range(count)]
    return torch.stack(pictures).permute(0, 3, 1, 2)


def saved(folder: Path, number: int, width: int = 128, height: int = 128) -> tuple[Picture, str]:
    path = folder / f"{number}.png"
    picture = draw(number, 128, studio=True).picture
    Image.fromarray(cv2.resize(np.asarray(picture), (width, height))).save(path)
    return Picture(Example(path), f"pair{number}", "real", f"key{number}", path.name), "hand"


def test_more_noise_leaves_less_of_the_picture(base: BaseModel) -> None:
    pictures = drawn(2)
    errors = []
    for time in (0.001, 0.4, 0.95):
        estimates = clean_estimates(base, pictures, ["hand"] * 2, torch.tensor([time, time]), [1, 2])
        assert estimates.dtype == torch.uint8
        errors.append(float((estimates.float() - pictures.float()).abs().mean()))
    assert errors[0] < 5  # the autoencoder's own
    assert errors[0] < errors[1] < errors[2]


def test_an_estimate_depends_on_its_own_picture_time_and_seed(base: BaseModel) -> None:
    pictures = drawn(2)
    times = torch.tensor([0.3, 0.6])
    both = clean_estimates(base, pictures, ["hand", "right hand"], times, [1, 2])
    alone = clean_estimates(base, pictures[1:], ["right hand"], times[1:], [2])
    assert (both[1:].int() - alone.int()).abs().max() <= 1
    other = clean_estimates(base, pictures[1:], ["right hand"], times[1:], [3])
    assert (other.int() - alone.int()).abs().max() > 1


@given(st.text(), st.integers(1, 9), st.integers(1, 999), st.integers(1, 999))
def test_levels_lie_in_the_window_spread_over_it(key: str, each: int, first: int, second: int) -> None:
    lowest, highest = sorted((first, second))
    settings = EstimateSettings(each, lowest, highest)
    levels = settings.levels(key)
    assert len(levels) == each
    assert all(lowest <= level <= highest for level in levels)
    assert levels == settings.levels(key) == sorted(levels)
    if highest - lowest >= 2 * each:
        assert len(set(levels)) == each


def test_pictures_do_not_share_their_levels() -> None:
    levels = [EstimateSettings().levels(f"picture{number}")[0] for number in range(400)]
    assert len(set(levels)) > 200
    assert 370 < sum(levels) / len(levels) < 430


def test_a_window_that_is_none_is_named() -> None:
    for lowest, highest in ((0, 5), (7, 6), (10, 1000)):
        with pytest.raises(ValueError, match=f"found {lowest}, {highest}"):
            EstimateSettings(1, lowest, highest)


@given(st.integers(30, 6000), st.integers(30, 6000))
def test_a_fitted_picture_keeps_its_shape_and_has_the_models_area(width: int, height: int) -> None:
    across, down = fitted_size(width, height, _OfSd())
    assert across % 8 == down % 8 == 0
    if max(width, height) <= 4 * min(width, height):
        assert abs(across / down / (width / height) - 1) < 0.04
        assert abs(across * down / 512**2 - 1) < 0.04


class _OfSd:
    resolution, side_step = 512, 8


def test_each_picture_gets_its_estimates_with_the_way_back_to_its_pixels(base: BaseModel, tmp_path: Path) -> None:
    originals = [saved(tmp_path, 0), saved(tmp_path, 1, 256, 192), saved(tmp_path, 2, 256, 192)]
    pieces = Pieces(tmp_path / "pieces", {}, 4)
    make_estimates("estimates", lambda: base, originals, EstimateSettings(each=2, batch=3), pieces)
    made = estimates_of(pieces)
    assert [estimate.of for estimate in made] == ["key0", "key0", "key1", "key1", "key2", "key2"]
    for estimate, (picture, _) in zip(made, [one for one in originals for _ in range(2)], strict=True):
        assert 150 <= estimate.level <= 650
        with Image.open(picture.example.picture) as original, Image.open(estimate.file) as seen:
            x, y, width, height = estimate.box((0, 0, *original.size))
            assert (x, y) == (0, 0)
            assert (width, height) == pytest.approx(seen.size)
            small = np.asarray(original.resize(seen.size), dtype=float)
            # It is the picture in question, seen through noise.
            assert np.corrcoef(small.ravel(), np.asarray(seen, dtype=float).ravel())[0, 1] > 0.8


def test_equal_pictures_get_noise_of_their_own(base: BaseModel, tmp_path: Path) -> None:
    first, text = saved(tmp_path, 0)
    second = Picture(first.example, "other pair", "real", "other key", first.source)
    pieces = Pieces(tmp_path / "pieces", {}, 4)
    make_estimates("estimates", lambda: base, [(first, text), (second, text)], EstimateSettings(1, 400, 400), pieces)
    assert len({estimate.file.read_bytes() for estimate in estimates_of(pieces)}) == 2


def test_a_second_run_makes_nothing_and_a_changed_caption_makes_it_anew(base: BaseModel, tmp_path: Path) -> None:
    asked = []

    def load_base() -> BaseModel:
        asked.append(None)
        return base

    originals = [saved(tmp_path, 0)]
    pieces = Pieces(tmp_path / "pieces", {}, 4)
    for _ in range(2):
        make_estimates("estimates", load_base, originals, EstimateSettings(), pieces)
    assert len(asked) == 1
    make_estimates("estimates", load_base, [(originals[0][0], "right hand")], EstimateSettings(), pieces)
    assert len(asked) == 2


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_made(base: BaseModel, tmp_path: Path) -> None:
    originals = [saved(tmp_path, number) for number in range(3)]
    originals[1][0].example.picture.write_bytes(b"no picture")
    pieces = Pieces(tmp_path / "pieces", {}, 4)
    make_estimates("estimates", lambda: base, originals, EstimateSettings(), pieces)
    assert [estimate.of for estimate in estimates_of(pieces)] == ["key0", "key2"]
    assert "1.png" in (tmp_path / "pieces" / "000000" / PROBLEMS).read_text()
