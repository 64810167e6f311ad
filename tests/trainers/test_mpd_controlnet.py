"""The trainer as a terminal sees it: whole runs at tiny settings, kills, several processes, and mistakes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from fairhands.adapters import control_file
from fairhands.adapters.controlnet import ControlNet
from fairhands.base_models import load
from fairhands.training import configuration
from tests.adapters.bases import MANNEQUIN, inputs
from tests.adapters.controls import shown
from tests.base_models.checkpoints import write_folder
from tests.made.logged import logged
from tests.made.prepared_people import make_prepared_people
from trainers import mpd_controlnet

ROOT = Path(__file__).parents[2]
FILE, CHECKPOINT = "mpd_controlnet.safetensors", "mpd_controlnet.checkpoint.pt"
T2I = ("--adapter", "t2i")
T2I_FILE = "mpd_t2i_adapter.safetensors"
FAST = (
    *("--training.steps", "6", "--training.log_every", "1", "--training.precision", "fp32", "--training.warm_up", "2"),
    *("--training.batch", "2", "--training.learning_rate", "0.001", "--data.resolution", "64"),
)
TINY = (*FAST, "--data.held_out", "2", "--samples.steps", "2", "--training.sample_every", "3")
QUIET = (*FAST, "--samples.seeds", "0")
LAUNCH = ("accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--main_process_port", "0")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny base models, sd and xl, and prepared people with two kinds of conditioning."""
    folder = tmp_path_factory.mktemp("world")
    write_folder(folder / "sd")
    write_folder(folder / "xl", xl=True)
    make_prepared_people(folder / "people", conditioning=("pose", "depth"))
    make_prepared_people(folder / "plain")
    return folder


def given(world: Path, base: str = "sd", people: str = "people") -> tuple[str, ...]:
    return ("--base", str(world / base), "--data.prepared", json.dumps([str(world / people)]))


@pytest.fixture
def run(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the trainer in this process, in a folder of the test; gives its status and what it said.

    On one thread, as `start` has it: with more of them sums are rounded otherwise.
    """

    def started(*arguments: str, folder: str = ".", **words: str) -> tuple[int, str, str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setattr(sys, "argv", ["mpd_controlnet", *given(world, **words), *arguments])
        capfd.readouterr()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            mpd_controlnet.main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            torch.set_num_threads(threads)
        return status, *capfd.readouterr()

    return started


def start(world: Path, folder: Path, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    """The trainer as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launch = () if processes == 1 else (*LAUNCH, "--num_processes", str(processes), "--module")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", *launch, "trainers.mpd_controlnet", *given(world), *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def curve(output: Path, name: str = "mpd_controlnet") -> list[tuple[int, float]]:
    return logged(output / "logs" / name)


def test_a_run_writes_a_controlnet_that_says_what_made_it_sheets_and_a_report(
    run: Run, world: Path, tmp_path: Path
) -> None:
    status, out, said = run(*TINY, "--training.checkpointing", "true")
    assert status == 0, said
    assert out.startswith(f"mpd_controlnet/{FILE}: steps 6, loss ")
    assert "held_out/hand" in out
    output = tmp_path / "mpd_controlnet"
    sheets = sorted((output / "samples").iterdir())
    assert [sheet.name for sheet in sheets] == [f"mpd_controlnet_{step:06}.png" for step in (0, 3, 6)]
    assert [step for step, _ in curve(output)] == list(range(1, 7))
    report = json.loads((output / "report.json").read_text())
    assert report["objectives"] == ["global", "face", "hand"]
    assert [step for step, _ in report["curves"]["held_out/face"]] == [0, 3, 6]
    assert Image.open(output / "report.png").width > 300
    with safe_open(str(output / FILE), "pt") as file:
        texts = file.metadata()
    made_by = json.loads(texts["made_by"])
    assert (texts["kind"], texts["conditioning"]) == ("fairhands controlnet", "pose")
    assert made_by["command"].startswith("python -m trainers.mpd_controlnet --base ")
    assert (made_by["steps"], made_by["base"], made_by["strategy"], made_by["seed"]) == (6, "sd", "mpd", 0)
    assert made_by["objectives"] == ["global", "face", "hand"]
    control = control_file.read(ControlNet, load(world / "sd"), output / FILE)
    with torch.no_grad():
        found = control.predict(*inputs(control.base), shown())
        assert not torch.allclose(found, control.base.predict(*inputs(control.base)))


def test_a_sheet_shows_the_conditioning_then_without_and_with_the_same_at_first(run: Run, tmp_path: Path) -> None:
    assert run(*TINY, "--conditioning", "depth", "--samples.pictures", "1")[0] == 0
    side, gap, title = 64, 4, 24
    sheets = [
        torch.frombuffer(bytearray(Image.open(path).convert("RGB").tobytes()), dtype=torch.uint8)
        .reshape(-1, 3 * (side + gap), 3)[2 * title : 2 * title + side]
        .split(side + gap, dim=1)
        for path in sorted((tmp_path / "mpd_controlnet" / "samples").iterdir())
    ]
    first, last = ([part[:, :side] for part in sheet] for sheet in (sheets[0], sheets[-1]))
    assert set(first[0].flatten().tolist()) >= {0, 127}  # black, and the grey of the second kind
    assert torch.equal(first[0], last[0])
    assert torch.equal(first[1], first[2])  # a new ControlNet adds nothing
    assert torch.equal(first[1], last[1])
    assert not torch.equal(last[1], last[2])


def test_it_trains_a_t2i_adapter_on_sdxl(run: Run, tmp_path: Path) -> None:
    status, out, said = run(*TINY, *T2I, "--training.checkpointing", "true", base="xl")
    assert status == 0, said
    assert out.startswith(f"mpd_controlnet/{T2I_FILE}: steps 6")
    assert all(name.startswith("adapter.") for name in load_file(tmp_path / "mpd_controlnet" / T2I_FILE))
    assert (tmp_path / "mpd_controlnet" / "samples" / "mpd_t2i_adapter_000006.png").exists()


def test_only_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for folder, seed in (("first", "0"), ("second", "0"), ("third", "1")):
        status, _, said = run(*QUIET, *T2I, "--seed", seed, folder=folder)
        assert status == 0, said
    outputs = [tmp_path / folder / "mpd_controlnet" for folder in ("first", "second", "third")]
    assert not any((output / "samples").exists() for output in outputs)
    first, second, third = ((output / T2I_FILE).read_bytes() for output in outputs)
    assert first == second != third


def test_training_goes_on_from_a_file(run: Run, tmp_path: Path) -> None:
    assert run(*QUIET, "--output", "first")[0] == 0
    again = ("--start_from", f"first/{FILE}", "--training.steps", "1", "--training.learning_rate", "1e-12")
    status, _, said = run(*QUIET, *again, "--output", "second")
    assert status == 0, said
    first, second = (load_file(tmp_path / name / FILE) for name in ("first", "second"))
    assert all(torch.equal(second[name], weight) for name, weight in first.items())
    status, _, said = run(*QUIET, *T2I, "--start_from", f"first/{FILE}", "--output", "third")
    assert status == 2
    assert "is a ControlNet, expected a T2I-Adapter" in said


def test_it_is_shown_what_is_asked_for_or_black(run: Run, tmp_path: Path) -> None:
    ways = {
        "pose": (),
        "depth": ("--conditioning", "depth"),
        "black": ("--conditioning_dropout", "0.999"),
        "black_depth": ("--conditioning", "depth", "--conditioning_dropout", "0.999"),
    }
    curves = {}
    for name, arguments in ways.items():
        assert run(*QUIET, *T2I, *arguments, "--output", name)[0] == 0
        curves[name] = curve(tmp_path / name, "mpd_t2i_adapter")
    assert curves["black"] == curves["black_depth"]
    assert len({str(curves[name]) for name in ("pose", "depth", "black")}) == 3


def test_after_kill_9_the_loss_curve_goes_on_as_if_nothing_had_happened(run: Run, world: Path, tmp_path: Path) -> None:
    long = (*QUIET, "--training.steps", "20", "--training.save_every", "5", "--conditioning_dropout", "0.5")
    killed, whole = (tmp_path / folder / "mpd_controlnet" for folder in ("killed", "whole"))
    with start(world, tmp_path / "killed", *long) as process:
        assert process.stderr is not None
        while not (killed / CHECKPOINT).exists():
            assert process.poll() is None
            process.stderr.read(10)  # the progress bar, which goes on while there is progress
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert torch.load(killed / CHECKPOINT, weights_only=True)["step"] < 20
    for folder in ("killed", "whole"):
        status, _, said = run(*long, folder=folder)
        assert status == 0, said
    assert curve(killed) == curve(whole)
    assert len(curve(whole)) == 20
    told, expected = (load_file(output / FILE) for output in (killed, whole))
    assert all(torch.equal(told[name], weight) for name, weight in expected.items())


def test_two_processes_train_as_one_with_twice_the_batch(run: Run, world: Path, tmp_path: Path) -> None:
    plain = (*QUIET, *T2I)
    assert run(*plain, "--output", "one", "--training.batch", "4")[0] == 0
    with start(world, tmp_path, *plain, "--output", "two", "--training.batch", "2", processes=2) as process:
        _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    one, two = (curve(tmp_path / name, "mpd_t2i_adapter") for name in ("one", "two"))
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=1e-3)
    weights = [load_file(tmp_path / name / T2I_FILE) for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--adapter", "lora"), '"adapter"'),
        (("--conditionin", "pose"), 'closest known key is "conditioning"'),
        (("--conditioning", "canny"), 'have no "canny" pictures for a ControlNet; there are: depth, pose'),
        (("--start_from", "nowhere"), "start_from names nowhere, where nothing is"),
        ((*T2I, "--data.bucket_step", "32"), "data.bucket_step should be a multiple of 64 for a T2I-Adapter, found 32"),
        (("--base", str(MANNEQUIN)), "A ControlNet needs a base of SD 1.5 or SDXL, found the mannequin model"),
        (("--data.prepared", '["nowhere"]'), "nowhere, which is no folder"),
        (("--objectives.regions", '["foot"]'), 'say nothing of the region "foot"'),
        (("--training.optimiser", "adamw8bit"), "the optimiser adamw8bit needs "),
        (("--base", ""), "--base names a checkpoint"),
    ],
)
def test_a_mistake_is_said_in_one_line_before_the_training(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    status, out, said = run(*QUIET, *arguments)
    last = said.rstrip("\n").rsplit("\n", 1)[-1].rsplit("\r", 1)[-1]
    assert (status, out) == (2, "")
    assert expected in last
    assert last.startswith("python -m trainers.mpd_controlnet: ")
    assert not (tmp_path / "mpd_controlnet" / FILE).exists()


def test_people_without_such_pictures_are_refused(run: Run) -> None:
    status, _, said = run(*QUIET, people="plain")
    assert status == 2
    assert 'no "pose" pictures for a ControlNet; there are: none' in said


def test_too_little_memory_says_what_to_lower(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(ControlNet, "predict", full)
    status, _, said = run(*QUIET)
    assert status == 1
    assert "too little memory: set training.checkpointing = true" in said


def test_the_example_configuration_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(configuration.example(mpd_controlnet.Settings, mpd_controlnet.PROGRAM))
    assert configuration.read(mpd_controlnet.Settings, tmp_path / "example.toml") == mpd_controlnet.Settings()
