"""`dev.py` as a person runs it: a real process of the plain interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.paths import ROOT

COMMANDS = ("demo", "test", "comfy", "run", "models", "bench")


def dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "dev.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def one_sentence(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 1
    (line,) = run.stderr.strip().splitlines()
    return line


def test_help_explains_each_command_in_a_line() -> None:
    lines = dev("--help").stdout.splitlines()
    for command in COMMANDS:
        (line,) = [line for line in lines if line.split()[:1] == [command]]
        assert len(line.split()) > 4


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_of_its_own(command: str) -> None:
    assert dev(command, "--help").returncode == 0


def test_a_photo_that_is_not_there_is_named_before_anything_is_set_up() -> None:
    run = dev("demo", "--photo", "no/such/photo.jpg")
    assert "no/such/photo.jpg" in one_sentence(run)
    assert run.stdout == ""


def test_a_comfyui_path_without_comfyui_is_named(tmp_path: Path) -> None:
    sentence = one_sentence(dev("models", COMFYUI_PATH=str(tmp_path)))
    assert str(tmp_path) in sentence
    assert "COMFYUI_PATH" in sentence


def test_an_unknown_command_is_refused() -> None:
    assert dev("no-such-command").returncode == 2


def test_an_unknown_benchmark_is_refused_with_the_names_of_those_there_are() -> None:
    run = dev("bench", "--only", "no-such-benchmark")
    assert run.returncode == 2
    assert run.stdout == ""
    assert all(group in run.stderr for group in ("detection", "standin", "sampling"))


def test_a_module_runs_in_the_prepared_environment() -> None:
    run = dev("run", "trainers.discriminator", "--help")
    assert run.returncode == 0, run.stderr
    assert "--training.steps" in run.stdout
