"""Every trainer can be asked for help and for an example, and explains each of its settings."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from fairhands.training import configuration
from fairhands.training.configuration import Configuration

ROOT = Path(__file__).parents[2]
TRAINERS = sorted(path.stem for path in (ROOT / "trainers").glob("[a-z]*.py"))
REQUIRED = {
    "hand_lora": ["base"],
    "mpd_ablation": ["base", "data.prepared"],
    "mpd_controlnet": ["base", "data.prepared"],
    "mpd_lora": ["base", "data.prepared"],
    "prepare_hands": ["folder"],
    "prepare_humans": ["folder"],
}

every_trainer = pytest.mark.parametrize("name", TRAINERS)


def settings_of(name: str) -> tuple[type[Configuration], str, str]:
    module = importlib.import_module(f"trainers.{name}")
    return getattr(module, "Options", None) or module.Settings, module.PROGRAM, module.PURPOSE


@every_trainer
def test_its_example_gives_the_defaults_and_marks_what_is_required(name: str, tmp_path: Path) -> None:
    kind, program, _ = settings_of(name)
    text = configuration.example(kind, program)
    (tmp_path / "example.toml").write_text(text, encoding="utf-8")
    assert configuration.read(kind, tmp_path / "example.toml") == kind()
    assert text.count("# REQUIRED") == len(REQUIRED.get(name, []))
    assert max(map(len, text.splitlines())) <= 102 or name == "benchmark"


@every_trainer
def test_its_help_fits_a_terminal_and_shows_what_is_required_first(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    kind, program, purpose = settings_of(name)
    with pytest.raises(SystemExit) as ended:
        configuration.from_command_line(kind, program, purpose, ["--help"])
    usage, *lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert usage.startswith(f"usage: {program} {''.join(f'--{key} ' for key in REQUIRED.get(name, []))[:6]}".rstrip())
    assert all(f"--{key} " in usage for key in REQUIRED.get(name, []))
    assert max(map(len, lines)) <= 100
    assert 'default: ""' not in "\n".join(lines)


def test_a_trainer_that_is_stopped_while_it_starts_says_so_in_a_line() -> None:
    stopped = [sys.executable, "-c", "import trainers; raise KeyboardInterrupt"]
    assert subprocess.run(stopped, cwd=ROOT, capture_output=True, text=True).stderr == (
        "stopped before anything was begun\n"
    )
    broken = [sys.executable, "-c", "import trainers; raise ValueError('shown as it is')"]
    assert "ValueError: shown as it is" in subprocess.run(broken, cwd=ROOT, capture_output=True, text=True).stderr
