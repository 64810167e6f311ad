"""The preparation as a terminal sees it: mistakes, a kill and Ctrl-C in the middle, several processes, a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.data.prepared import PreparedHands
from fairhands.data.preparing.packing import hashes
from fairhands.data.preparing.pieces import Pieces
from tests.made.full_disk import limited_file_size
from trainers import prepare_hands

ROOT = Path(__file__).parents[2]
SETTINGS = ("--filters.least_score", "0.3", "--filters.least_side", "20", "--hands.threshold", "0.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to start in with more pictures than a piece has, among them one that cannot be read."""
    folder = tmp_path_factory.mktemp("prepare")
    (folder / "pictures").mkdir()
    for number in range(90):
        picture = Image.fromarray(draw(number % 30, 128).picture)
        picture.rotate(number // 30 * 5).save(folder / "pictures" / f"{number:03}.png")
    (folder / "pictures" / "050.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, mediapipe_models: Path) -> dict[str, str]:
    """The output of a run that nothing stopped."""
    assert run(folder / "whole", mediapipe_models) == 0
    return hashes(folder / "whole" / "out")


def arguments(models: Path, *more: str) -> list[str]:
    return ["--folder", "../pictures", "--output", "out", "--hands.models", str(models), *SETTINGS, *more]


def run(folder: Path, models: Path, *more: str) -> int | str | None:
    """Run the program in this process and in a folder of its own, where the command is the same as in any other."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["prepare_hands", *arguments(models, *more)])
        try:
            prepare_hands.main()
        except SystemExit as ended:
            return ended.code
    return 0


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def start(folder: Path, models: Path, *program: str) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *program, "trainers.prepare_hands", *arguments(models)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_run_packs_what_it_found_and_names_what_it_could_not_read(folder: Path, whole: dict[str, str]):
    hands = PreparedHands(folder / "whole" / "out", check=True)
    assert len(hands) > 40
    report = json.loads((folder / "whole" / "out" / "report" / "report.json").read_text())
    assert report["problems"]["counts"] == {"unreadable picture": 1}
    assert "050.png" in report["problems"]["lines"][0]
    assert set(whole) == set(hands.manifest["sha256"])
    assert hands.manifest["command"].startswith("python -m trainers.prepare_hands --folder ../pictures --output out")


@pytest.mark.usefixtures("whole")
def test_a_second_run_changes_no_file_and_says_the_same(
    folder: Path, mediapipe_models: Path, capsys: pytest.CaptureFixture[str]
):
    before = times(folder / "whole")
    assert run(folder / "whole", mediapipe_models) == 0
    assert times(folder / "whole") == before
    counts, hint = capsys.readouterr().out.splitlines()
    assert counts.startswith(f"out: {len(PreparedHands(folder / 'whole' / 'out'))} crops, ")
    assert hint.startswith("These are real hands only: fakes.base names the base model")


def test_a_killed_run_goes_on_to_the_same_bytes(folder: Path, whole: dict[str, str], mediapipe_models: Path):
    with start(folder / "killed", mediapipe_models, "-m") as process:
        assert process.stderr is not None
        said = ""
        while "64/90" not in said:  # the first piece is there, and the second is not
            said += process.stderr.read(1)
            assert process.poll() is None, said
        process.kill()
        process.communicate(timeout=60)
    first = folder / "killed" / "out.work" / "real" / "hands" / "000000" / "piece.json"
    assert not (folder / "killed" / "out").exists()
    made = first.stat().st_mtime_ns
    assert run(folder / "killed", mediapipe_models) == 0
    assert first.stat().st_mtime_ns == made
    assert hashes(folder / "killed" / "out") == whole
    manifests = [(folder / name / "out" / "manifest.json").read_bytes() for name in ("whole", "killed")]
    assert manifests[0] == manifests[1]


def test_an_interrupted_run_says_how_to_go_on(
    folder: Path, mediapipe_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # Where tests run in the background, Ctrl-C is ignored; not from a handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Pieces, "_make", lambda *arguments: signal.raise_signal(signal.SIGINT))
    assert run(folder / "interrupted", mediapipe_models) == 130
    signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "python -m trainers.prepare_hands: stopped; the same command goes on from the finished pieces in out.work"
    )
    assert not (folder / "interrupted" / "out").exists()


def test_two_processes_give_the_same_bytes_as_one(folder: Path, whole: dict[str, str], mediapipe_models: Path):
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "-m")
    with start(folder / "two", mediapipe_models, *launcher) as process:
        out, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert out.count("out: ") == 1
    assert hashes(folder / "two" / "out") == whole


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of files")
def test_on_a_full_disk_it_ends_with_one_sentence_and_goes_on_later(
    folder: Path, whole: dict[str, str], mediapipe_models: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(folder / "whole" / "out.work", folder / "full" / "out.work")
    with limited_file_size(60_000):
        assert run(folder / "full", mediapipe_models) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("python -m trainers.prepare_hands: out was not written: ")
    assert last.endswith("the same command goes on from the finished pieces in out.work")
    assert [path.name for path in (folder / "full").iterdir()] == ["out.work"]
    assert run(folder / "full", mediapipe_models) == 0
    assert hashes(folder / "full" / "out") == whole


def test_a_mistake_is_one_line(folder: Path, mediapipe_models: Path, capsys: pytest.CaptureFixture[str]):
    assert run(folder / "mistake", mediapipe_models, "--kind", "hagird") == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith('python -m trainers.prepare_hands: kind is "hagird", expected one of')
    assert len(said.splitlines()) == 1
    assert list((folder / "mistake").iterdir()) == []
