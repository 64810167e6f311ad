"""The trainer as a terminal sees it: a whole run at tiny settings, and mistakes noticed before the work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairhands.critic import describe, load

ROOT = Path(__file__).parents[2]
TINY = (
    *("--steps", "4", "--batch", "2", "--input_size", "16", "--widths", "[4, 8]"),
    *("--data.pairs", "8", "--data.held_out_pairs", "7", "--data.drawn_size", "64", "--data.workers", "0"),
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainers.discriminator", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with start(folder, *arguments) as process:
        out, progress = process.communicate(timeout=120)
    return process.returncode, out, progress


def test_a_run_writes_a_critic_and_only_the_same_seed_the_same_bytes(tmp_path: Path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder, seed in ((first, "0"), (second, "0"), (third, "1")):
        folder.mkdir()
        status, out, progress = run(folder, *TINY, "--output", "new/critic.safetensors", "--seed", seed)
        assert status == 0, progress
        assert out.startswith("new/critic.safetensors: held-out accuracy ")
        assert "training" in progress
    critic, summary = load(first / "new" / "critic.safetensors")
    assert critic.input_size == 16
    assert len(summary["held_out"]["losses"]) == 4
    assert 0 <= summary["held_out"]["auc"] <= 1
    assert set(summary["held_out"]["auc_by_kind"]) >= {"six_fingers", "fused", "bent_wrong"}
    assert summary["command"].startswith("python -m trainers.discriminator --steps 4")
    content = (first / "new" / "critic.safetensors").read_bytes()
    assert content == (second / "new" / "critic.safetensors").read_bytes()
    other = describe(third / "new" / "critic.safetensors").summary
    assert other["held_out"]["losses"] != summary["held_out"]["losses"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stepz", "3"), 'the closest known key is "steps"'),
        (("--backbone", "vit"), "backbone should be one of ['conv']"),
        (("--input_size", "50"), "divisible by 2"),
        (("--output", "file/critic.safetensors"), "file"),
        (("--output", "."), "Is a folder"),
        (("--data.model", "nothing.safetensors"), "a fairhands mannequin model is written by"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_drawn(arguments: tuple[str, ...], words: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    status, out, said = run(tmp_path, *arguments)
    assert (status, out) == (2, "")
    assert len(said.splitlines()) == 1
    assert said.startswith("python -m trainers.discriminator: ")
    assert words in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_run_writes_nothing(tmp_path: Path):
    # Where tests run in the background, Ctrl-C is ignored, and programs they start inherit that; not from a handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with start(tmp_path, *TINY, "--steps", "1000000") as process:
        assert process.stderr is not None
        while "training" not in process.stderr.readline(200):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith("stopped; hand_critic.safetensors was not written")
    assert list(tmp_path.iterdir()) == []
