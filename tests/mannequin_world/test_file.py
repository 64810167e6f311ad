from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fairhands.mannequin_world import file
from fairhands.mannequin_world.autoencoder import Autoencoder
from fairhands.mannequin_world.denoiser import new_denoiser
from fairhands.weight_files import WeightFileError

SHIPPED = Path(__file__).parents[2] / "weights"


def test_a_written_model_is_read_as_it_was_but_for_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    denoiser, autoencoder = new_denoiser(), Autoencoder()
    file.write(tmp_path / "model.safetensors", denoiser, autoencoder, {"seed": 3})
    model = file.read(tmp_path / "model.safetensors")
    assert model.made_by == {"seed": 3}
    for network, read in ((denoiser, model.denoiser), (autoencoder, model.autoencoder)):
        for name, weight in network.state_dict().items():
            assert torch.equal(weight.half().float(), read.state_dict()[name]), name


def test_other_files_are_refused_with_where_to_get_a_right_one(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for content in (None, b"not safetensors"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightFileError, match=r"other.safetensors cannot be read .*trainers.mannequin"):
            file.read(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(WeightFileError, match=r"holds weights of another kind; .*trainers.mannequin"):
        file.read(path)


def test_what_is_shipped_is_small_and_says_what_made_it() -> None:
    files = list(SHIPPED.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    made_by = file.read(SHIPPED / "checkpoints" / "mannequin_model.safetensors").made_by
    assert made_by["command"].startswith("python -m trainers.mannequin")
    assert {"seed", "data_version", "settings"} <= made_by.keys()
