"""The mannequin model's trainer as a terminal sees it, at tiny settings."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from fairhands.mannequin_world import file

ROOT = Path(__file__).parents[2]
TINY = (
    *("--pictures", "6", "--workers", "0"),
    *("--autoencoder.steps", "3", "--autoencoder.batch", "2", "--autoencoder.sample_every", "3"),
    *("--denoiser.steps", "3", "--denoiser.batch", "2", "--denoiser.sample_every", "3"),
)


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainers.mannequin", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


def test_a_run_leaves_a_model_with_samples_and_logs_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    status, progress = run(tmp_path, *TINY)
    assert status == 0, progress
    output = tmp_path / "mannequin"
    model = output / "mannequin_model.safetensors"
    made_by = file.read(model).made_by
    assert made_by["command"].startswith("python -m trainers.mannequin --pictures 6")
    assert {path.name for path in (output / "samples").iterdir()} == {"autoencoder_000003.png", "denoiser_000003.png"}
    assert {path.name for path in (output / "logs").iterdir()} == {"autoencoder", "denoiser"}
    content = model.read_bytes()
    status, progress = run(tmp_path, *TINY)
    assert status == 0, progress
    assert model.read_bytes() == content


def test_a_model_is_improved_with_its_own_autoencoder(tmp_path: Path) -> None:
    first = "weights/checkpoints/mannequin_model.safetensors"
    status, progress = run(tmp_path, *TINY, "--start_from", str(ROOT / first), "--seed", "1")
    assert status == 0, progress
    assert "training the autoencoder" not in progress
    base, improved = file.read(ROOT / first), file.read(tmp_path / "mannequin" / "mannequin_model.safetensors")
    assert improved.made_by["started_from"] == base.made_by
    for weight, same in zip(base.autoencoder.parameters(), improved.autoencoder.parameters(), strict=True):
        assert torch.equal(weight, same)
    changes = [
        float((weight - other).detach().abs().max())
        for weight, other in zip(base.denoiser.parameters(), improved.denoiser.parameters(), strict=True)
    ]
    assert 0 < max(changes) < 0.05


def test_figures_train_a_models_decoder_and_denoiser_on_and_keep_its_encoder(tmp_path: Path) -> None:
    first = ROOT / "weights" / "checkpoints" / "mannequin_model.safetensors"
    status, progress = run(tmp_path, *TINY, "--start_from", str(first), "--figures", "true", "--keep", "encoder")
    assert status == 0, progress
    base, trained = file.read(first), file.read(tmp_path / "mannequin" / "mannequin_model.safetensors")
    assert "figures" in trained.made_by["data"]
    ours, theirs = trained.autoencoder, base.autoencoder
    assert same(ours.taesd_encoder, theirs.taesd_encoder)
    assert not same(ours.taesd_decoder, theirs.taesd_decoder)
    assert not same(trained.denoiser, base.denoiser)
    drawn = torch.load(tmp_path / "mannequin" / "pictures.pt", weights_only=True)["tensors"]["pictures"]
    assert drawn.shape == (6, 3, 256, 256)
    sheet = Image.open(tmp_path / "mannequin" / "samples" / "denoiser_000003.png")
    assert sheet.size == (8 * 256, 256), "figures are one prompt"


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_model_to_start_from_that_is_none_is_named_before_any_work(tmp_path: Path) -> None:
    for start, words in (
        ("nothing.safetensors", "nothing.safetensors cannot be read as safetensors"),
        (str(ROOT / "weights" / "finger_judge.safetensors"), "holds fairhands finger judge"),
    ):
        status, progress = run(tmp_path, "--start_from", start)
        assert status == 1
        assert words in progress.splitlines()[-1]
        assert not list(tmp_path.iterdir())


def test_a_wrong_argument_is_one_line_before_any_work(tmp_path: Path) -> None:
    status, progress = run(tmp_path, "--denoiser.batches", "3")
    assert status == 2
    assert 'the closest known key is "denoiser.batch"' in progress
    assert not list(tmp_path.iterdir())
    (tmp_path / "taken").touch()
    status, progress = run(tmp_path, *TINY, "--output", "taken")
    assert status == 1
    assert progress.splitlines()[-1] == "python -m trainers.mannequin: taken: is a file, expected a folder"
