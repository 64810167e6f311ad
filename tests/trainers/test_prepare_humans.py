"""The preparation of people as a terminal sees it: mistakes, a kill and Ctrl-C, several processes, a full disk."""

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
from fairhands.data.preparing.packing import hashes
from fairhands.data.preparing.pieces import Pieces
from fairhands.people.prepared import PreparedPeople
from tests.made.full_disk import limited_file_size
from trainers import prepare_humans

ROOT = Path(__file__).parents[2]
SETTINGS = ("--filters.least_side", "96", "--hands.threshold", "0.3", "--filters.hands.least_score", "0.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to start in with more pictures than a piece has, among them one that cannot be read."""
    folder = tmp_path_factory.mktemp("prepare")
    (folder / "pictures").mkdir()
    for number in range(40):
        picture = Image.fromarray(draw(number % 10, 128, hands=2, body=True).picture)
        picture.rotate(number // 10 * 3).save(folder / "pictures" / f"{number:03}.png")
    (folder / "pictures" / "035.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, mediapipe_models: Path) -> dict[str, str]:
    """The output of a run that nothing stopped."""
    assert run(folder / "whole", mediapipe_models) == 0
    return hashes(folder / "whole" / "out")


def arguments(models: Path, *more: str) -> list[str]:
    return ["--folder", "../pictures", "--output", "out", "--models", str(models), *SETTINGS, *more]


def run(folder: Path, models: Path, *more: str) -> int | str | None:
    """Run the program in this process and in a folder of its own, where the command is the same as in any other."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["prepare_humans", *arguments(models, *more)])
        try:
            prepare_humans.main()
        except SystemExit as ended:
            return ended.code
    return 0


def start(folder: Path, models: Path, *program: str) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *program, "trainers.prepare_humans", *arguments(models)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("whole")
def test_a_run_writes_people_and_names_what_it_could_not_read(folder: Path):
    people = PreparedPeople(folder / "whole" / "out", check=True)
    assert len(people) > 20
    assert people.manifest["counts"]["with a face"] > 10
    assert people.manifest["counts"]["with a hand"] > 10
    report = json.loads((folder / "whole" / "out" / "report" / "report.json").read_text())
    assert report["problems"]["counts"] == {"unreadable picture": 1}
    assert "035.png" in report["problems"]["lines"][0]
    assert people.manifest["command"].startswith("python -m trainers.prepare_humans --folder ../pictures --output out")


@pytest.mark.usefixtures("whole")
def test_a_second_run_changes_no_file_and_says_the_same(
    folder: Path, mediapipe_models: Path, capsys: pytest.CaptureFixture[str]
):
    before = times(folder / "whole")
    assert run(folder / "whole", mediapipe_models) == 0
    assert times(folder / "whole") == before
    assert capsys.readouterr().out.startswith(f"out: {len(PreparedPeople(folder / 'whole' / 'out'))} pictures, ")


def test_a_killed_run_goes_on_to_the_same_bytes(folder: Path, whole: dict[str, str], mediapipe_models: Path):
    with start(folder / "killed", mediapipe_models, "-m") as process:
        assert process.stderr is not None
        said = ""
        while "32/40" not in said:  # the first piece is there, and the second is not
            said += process.stderr.read(1)
            assert process.poll() is None, said
        process.kill()
        process.communicate(timeout=60)
    first = folder / "killed" / "out.work" / "found" / "000000" / "piece.json"
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
        "python -m trainers.prepare_humans: stopped; the same command goes on from the finished pieces in out.work"
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
    with limited_file_size(10_000):
        assert run(folder / "full", mediapipe_models) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("python -m trainers.prepare_humans: out was not written: ")
    assert last.endswith("the same command goes on from the finished pieces in out.work")
    assert [path.name for path in (folder / "full").iterdir()] == ["out.work"]
    assert run(folder / "full", mediapipe_models) == 0
    assert hashes(folder / "full" / "out") == whole


def test_a_mistake_is_one_line(folder: Path, mediapipe_models: Path, capsys: pytest.CaptureFixture[str]):
    assert run(folder / "mistake", mediapipe_models, "--kind", "hagird") == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith('python -m trainers.prepare_humans: kind is "hagird", expected one of')
    assert len(said.splitlines()) == 1
    assert list((folder / "mistake").iterdir()) == []
