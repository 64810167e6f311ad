"""The program as a terminal sees it, at tiny settings."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from fairhands.hands import files
from tests.adapters.bases import MANNEQUIN
from tests.made.prepared_people import make_prepared_people
from trainers import mpd_ablation, mpd_lora

TINY = (
    *("--data.prepared", '["people"]', "--data.resolution", "64", "--data.held_out", "2", "--data.workers", "1"),
    *("--training.steps", "2", "--training.batch", "2", "--training.warm_up", "0", "--training.precision", "fp32"),
    *("--training.learning_rate", "0.01", "--training.average", "0", "--samples.seeds", "0"),
    *("--strategies", '["single", "fixed", "mpd"]', "--ranks", "[2]", "--seeds", "[3]"),
    *("--fairness.fixed", "[1, 2, 2]"),
    *("--evaluation.pictures", "3", "--evaluation.steps", "2", "--evaluation.guidance", "1"),
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process, in the test's folder; gives its status and what it said."""

    def started(*arguments: str) -> tuple[int, str, str]:
        if not (tmp_path / "people").exists():
            make_prepared_people(tmp_path / "people", 6)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mpd_ablation", "--base", str(MANNEQUIN), *arguments])
        capfd.readouterr()
        try:
            mpd_ablation.main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capfd.readouterr()
        return status, said.out, said.err

    return started


def results(output: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text())["run"] for path in output.glob("*/result.json")}


def test_each_training_is_measured_and_compared_and_none_is_done_twice(
    run: Run, tmp_path: Path, mediapipe_models: Path
) -> None:
    detector = ("--evaluation.face_detector", str(mediapipe_models / files.FACE_DETECTOR.name))
    status, table, said = run(*TINY, *detector)
    assert status == 0, said
    output = tmp_path / "mpd_ablation"
    names = ["before", "fixed_rank2_seed3", "mpd_rank2_seed3", "single_rank2_seed3"]
    found = results(output)
    assert sorted(found) == names
    assert table == (output / "ablation.md").read_text()
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| before", "| single", "| fixed", "| mpd"]
    assert Image.open(output / "ablation.png").width > 500
    assert Image.open(output / "before" / "pictures.png").size == (3 * 64, 64)
    for name in names[1:]:
        assert found[name]["before"] == found["before"]["losses"]
        assert set(found[name]["losses"]) == {"global", "face", "hand"}
        assert found[name]["losses"] != found["before"]["losses"]
        assert len(found[name]["scores"]["face_score"]) == 3
    trained = {path: path.stat().st_mtime_ns for path in output.glob("*/*.safetensors")}
    assert len(trained) == 3
    first, second = (load_file(path) for path in list(trained)[:2])
    assert any((first[name] != second[name]).any() for name in first)
    (output / "mpd_rank2_seed3" / "result.json").unlink()
    status, again, said = run(*TINY, *detector)
    assert status == 0, said
    assert again == table
    for path, made in trained.items():
        assert (path.stat().st_mtime_ns == made) == (path.parent.name != "mpd_rank2_seed3")
    status, _, said = run(*TINY, *detector, "--training.steps", "4")
    assert status == 1
    assert "is of other settings: give those, or another output folder" in said.splitlines()[-1]


def test_single_is_the_whole_pictures_loss_alone(tmp_path: Path) -> None:
    settings = mpd_ablation.Settings(output=tmp_path, ranks=(2,))
    own = mpd_ablation.run_settings(settings, "single", 8, 5)
    assert type(own) is mpd_lora.Settings
    assert (own.fairness.strategy, own.fairness.fixed, own.fairness.refresh_every) == ("fixed", (1.0, 0.0, 0.0), 0)
    assert (own.network.rank, own.seed, own.output) == (8, 5, tmp_path / "single_rank8_seed5")
    assert mpd_ablation.run_settings(settings, "mpd", 8, 5).fairness.refresh_every == 1
    assert mpd_ablation.run_settings(settings, "sum", 8, 5).fairness.refresh_every == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategies", '["simple"]'), "strategies"),
        (("--fairness.fixed", "[1, 2]"), "fixed"),
        (("--evaluation.judge", "none.safetensors"), "none.safetensors cannot be read"),
        (("--evaluation.hand_detector", "none.task"), "none.task is no file"),
        (("--data.prepared", '["nowhere"]'), "nowhere"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    status, _, said = run(*TINY, *arguments)
    assert status == 2
    assert words in said.splitlines()[-1]
    assert not (tmp_path / "mpd_ablation" / "cache").exists()
