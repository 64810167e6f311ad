from pathlib import Path

import pytest
import torch

from fairhands.weight_files import WeightFileError, read_weights, write_weights

WEIGHTS = {"second": torch.linspace(-1, 1, 6).reshape(2, 3), "first": torch.tensor([2.0])}


def test_weights_come_back_in_single_precision_with_what_made_them(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, "kind of weights", WEIGHTS, {"seed": 3})
    weights, made_by = read_weights(path, "kind of weights", "trainer")
    assert made_by == {"seed": 3}
    assert weights.keys() == WEIGHTS.keys()
    for name, weight in WEIGHTS.items():
        torch.testing.assert_close(weights[name], weight, atol=1e-3, rtol=1e-3)
        assert weights[name].dtype == torch.float32


def test_the_same_weights_always_give_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for number in range(20):
        write_weights(tmp_path / str(number), "kind", WEIGHTS, {"seed": 3})
        contents.add((tmp_path / str(number)).read_bytes())
    assert len(contents) == 1


def test_weights_of_another_kind_are_named_with_what_was_wanted(tmp_path: Path) -> None:
    write_weights(tmp_path / "judge", "finger judge", WEIGHTS, {})
    with pytest.raises(WeightFileError, match="judge holds finger judge; a model is written by `python -m trainer`"):
        read_weights(tmp_path / "judge", "model", "python -m trainer")


def test_a_file_that_is_no_safetensors_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"nothing")
    for name in ("weights", "missing"):
        with pytest.raises(WeightFileError, match=f"{name} cannot be read as safetensors"):
            read_weights(tmp_path / name, "model", "python -m trainer")
