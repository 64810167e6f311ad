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

from fairhands.adapters import export
from fairhands.adapters.lora import LoraAdapter
from fairhands.base_models import load
from fairhands.training import configuration
from tests.adapters.bases import MANNEQUIN, predicted, tiny
from tests.made.logged import logged
from tests.made.prepared_people import make_prepared_people
from trainers import mpd_lora

ROOT = Path(__file__).parents[2]
FILE, CHECKPOINT = "mpd_lora.safetensors", "mpd_lora.checkpoint.pt"
FAST = (
    *("--data.prepared", "people", "--data.resolution", "64", "--data.held_out", "2", "--data.workers", "1"),
    *("--training.steps", "6", "--training.log_every", "1", "--training.precision", "fp32", "--training.warm_up", "2"),
    *("--training.learning_rate", "0.003", "--training.batch", "2", "--network.rank", "4"),
)
TINY = (*FAST, "--samples.steps", "2", "--samples.captions", "2")
QUIET = (*FAST, "--samples.seeds", "0")
LAUNCH = ("accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--main_process_port", "0")
REWARD = (
    "def warmth(pictures, captions):\n    return pictures[:, 0].mean(dim=(1, 2)) - pictures[:, 2].mean(dim=(1, 2))\n"
)
HUNGER = """
import torch


def hunger(pictures, captions):
    \"\"\"Asks for more memory than there is, but not of the pictures that it is tried on.\"\"\"
    return pictures.mean(dim=(1, 2, 3)) + (0 if "" in captions else torch.empty(2**60).mean())
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of people, of which one shows neither face nor hands."""
    return make_prepared_people(tmp_path_factory.mktemp("made") / "people", 8, without=(2,))


@pytest.fixture
def run(tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the trainer in this process, in the test's folder or one in it; gives its status and what it said.

    On one thread, as `start` has it: with more of them sums are rounded otherwise.
    """

    def started(*arguments: str, base: str = str(MANNEQUIN), folder: str = ".") -> tuple[int, str, str]:
        prepare(tmp_path / folder, people)
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setattr(sys, "argv", ["mpd_lora", "--base", base, *arguments])
        capfd.readouterr()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            mpd_lora.main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            torch.set_num_threads(threads)
        return status, *capfd.readouterr()

    return started


def prepare(folder: Path, people: Path) -> None:
    folder.mkdir(exist_ok=True)
    if not (folder / "people").exists():
        (folder / "people").symlink_to(people)


def start(folder: Path, people: Path, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    """The trainer as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launch = () if processes == 1 else (*LAUNCH, "--num_processes", str(processes), "--module")
    prepare(folder, people)
    command = [sys.executable, "-m", *launch, "trainers.mpd_lora", "--base", str(MANNEQUIN), *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def curve(output: Path, figure: str = "loss") -> list[tuple[int, float]]:
    return logged(output / "logs" / "mpd_lora", figure)


def test_a_run_writes_a_lora_that_says_what_made_it_its_sheets_and_its_report(run: Run, tmp_path: Path) -> None:
    status, out, said = run(*TINY)
    assert status == 0, said
    assert out.startswith(f"mpd_lora/{FILE}: steps 6, loss ")
    output = tmp_path / "mpd_lora"
    assert sorted(sheet.name for sheet in (output / "samples").iterdir()) == ["mpd_lora_000000.png"]
    assert Image.open(output / "samples" / "mpd_lora_000000.png").width == 2 * (64 + 4)
    for figure in ("loss", "hand", "weight/face", "gradient_norm/global", "cosine/face_hand", "share/hand"):
        assert [step for step, _ in curve(output, figure)] == list(range(1, 7))
    with safe_open(str(output / FILE), "pt") as file:
        texts = file.metadata()
    made_by = json.loads(texts["made_by"])
    assert texts["kind"] == "fairhands lora"
    assert made_by["command"].startswith("python -m trainers.mpd_lora --base ")
    assert (made_by["steps"], made_by["base"], made_by["base_family"]) == (6, MANNEQUIN.name, "mannequin")
    assert (made_by["objectives"], made_by["strategy"]) == (["global", "face", "hand"], "mpd")
    report = json.loads((output / "report.json").read_text())
    assert [step for step, _ in report["curves"]["held_out/hand"]] == [0]
    assert {len(report["curves"][name]) for name in ("global", "weight/hand", "share/face")} == {6}
    assert Image.open(output / "report.png").width > 1000
    base = load(MANNEQUIN)
    own = predicted(base)
    settings, of_text = export.settings_of(output / FILE)
    adapter = LoraAdapter(base, settings)
    export.load(adapter, output / FILE)
    adapter.eval()
    assert (settings.rank, settings.alpha, of_text) == (4, 4, False)
    assert not torch.allclose(predicted(base), own)
    with adapter.scaled(0):
        assert torch.equal(predicted(base), own)


def test_it_learns_the_pictures_and_measures_what_is_held_out(run: Run, tmp_path: Path) -> None:
    changes = ("--training.steps", "40", "--training.batch", "4", "--training.sample_every", "20")
    status, _, said = run(*QUIET, *changes, "--training.average", "0.9")
    assert status == 0, said
    assert not (tmp_path / "mpd_lora" / "samples").exists()
    for objective in ("global", "face", "hand"):
        steps, losses = zip(*curve(tmp_path / "mpd_lora", f"held_out/{objective}"), strict=True)
        assert steps == (0, 20, 40)
        assert losses[2] < 0.9 * losses[0]


def test_only_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for folder, seed in (("first", "0"), ("second", "0"), ("third", "1")):
        status, _, said = run(*QUIET, "--seed", seed, folder=folder)
        assert status == 0, said
    outputs = [tmp_path / folder / "mpd_lora" for folder in ("first", "second", "third")]
    assert (outputs[0] / FILE).read_bytes() == (outputs[1] / FILE).read_bytes()
    assert curve(outputs[0]) == curve(outputs[1]) != curve(outputs[2])


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("SD 1.5", ("--text_encoders", "true", "--training.checkpointing", "true", "--objectives.min_snr_gamma", "5")),
        ("SDXL", ("--text_encoders", "true", "--network.layers", "all", "--training.accumulate", "2")),
        ("SDXL", ("--fairness.batched", "true", "--training.checkpointing", "true", "--network.alpha", "1")),
        ("SD 1.5", ("--fairness.strategy", "dwa", "--fairness.refresh_every", "0", "--training.decay", "cosine")),
    ],
)
def test_it_trains_on_stable_diffusion(run: Run, tmp_path: Path, family: str, changes: tuple[str, ...]) -> None:
    tiny(family, tmp_path / "base")
    status, _, said = run(*TINY, *changes, "--training.steps", "3", base="base")
    assert status == 0, said
    weights = load_file(tmp_path / "mpd_lora" / FILE)
    moved = {
        name.split("_unet_")[0].split("_text_")[0]
        for name, weight in weights.items()
        if ".lora_up" in name and weight.any()
    }
    encoders = {"SD 1.5": {"lora_te"}, "SDXL": {"lora_te1", "lora_te2"}}[family]
    assert moved == ({"lora", *encoders} if "--text_encoders" in changes else {"lora"})
    assert (tmp_path / "mpd_lora" / "cache" / "captions").exists() == ("--text_encoders" not in changes)


def test_a_preference_is_one_more_objective(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_warmth.py").write_text(REWARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = ("--objectives.preference.reward", "own_warmth:warmth", "--objectives.preference.below", "0.6")
    status, _, said = run(*QUIET, *chosen, "--training.batch", "4")
    assert status == 0, said
    output = tmp_path / "mpd_lora"
    steps = curve(output, "present/preference")
    assert sum(present for _, present in steps) > 0
    assert all(
        weight > 0
        for (_, weight), (_, present) in zip(curve(output, "weight/preference"), steps, strict=True)
        if present
    )
    assert json.loads((output / "report.json").read_text())["objectives"][-1] == "preference"


def test_other_regions_than_face_and_hand(run: Run, tmp_path: Path) -> None:
    feet = make_prepared_people(tmp_path / "with_feet", 6, regions=("hand", "feet"))
    status, _, said = run(*QUIET, "--data.prepared", str(feet), "--objectives.regions", '["hand", "feet"]')
    assert status == 0, said
    assert {value for _, value in curve(tmp_path / "mpd_lora", "present/feet")} == {0}
    assert {value for _, value in curve(tmp_path / "mpd_lora", "present/hand")} == {1}


def test_after_kill_9_the_curves_go_on_as_if_nothing_had_happened(run: Run, tmp_path: Path, people: Path) -> None:
    long = (*QUIET, "--training.steps", "30", "--training.save_every", "10", "--training.sample_every", "5")
    long = (*long, "--network.dropout", "0.2", "--data.box_noise", "0.1", "--data.flip", "true")
    killed, whole = (tmp_path / folder / "mpd_lora" for folder in ("killed", "whole"))
    with start(tmp_path / "killed", people, *long) as process:
        assert process.stderr is not None
        while not (killed / CHECKPOINT).exists():
            assert process.poll() is None
            process.stderr.read(10)  # the progress bar, which goes on while there is progress
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert torch.load(killed / CHECKPOINT, weights_only=True)["step"] < 30
    for folder in ("killed", "whole"):
        status, _, said = run(*long, folder=folder)
        assert status == 0, said
    for figure in ("loss", "weight/hand", "held_out/face"):
        assert curve(killed, figure) == curve(whole, figure)
    told, expected = (load_file(output / FILE) for output in (killed, whole))
    assert all(torch.equal(told[name], weight) for name, weight in expected.items())
    reports = [json.loads((output / "report.json").read_text())["curves"] for output in (killed, whole)]
    assert reports[0] == reports[1]


def test_two_processes_train_as_one_with_twice_the_batch(run: Run, tmp_path: Path, people: Path) -> None:
    plain = (*QUIET, "--training.steps", "10")
    assert run(*plain, "--output", "one", "--training.batch", "4")[0] == 0
    with start(tmp_path, people, *plain, "--output", "two", processes=2) as process:
        _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    for figure in ("loss", "weight/hand", "cosine/face_hand"):
        assert [value for _, value in curve(tmp_path / "two", figure)] == pytest.approx(
            [value for _, value in curve(tmp_path / "one", figure)], rel=2e-2, abs=2e-3
        )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--trainin.steps", "3"), 'closest known key is "training.steps"'),
        (("--base", "", *QUIET), "--base names a checkpoint"),
        (("--training.steps", "3"), "No pictures are given: data.prepared names folders"),
        ((*QUIET, "--data.prepared", "nowhere"), "data.prepared names nowhere, which is no folder"),
        ((*QUIET, "--data.prepared", "."), "manifest.json"),
        ((*QUIET, "--objectives.regions", '["hand", "feet"]'), 'nothing of the region "feet"'),
        ((*QUIET, "--objectives.regions", '["hand", "hand"]'), "should name each region once"),
        ((*QUIET, "--fairness.strategy", "fixed"), "fixed should have a weight for each of 3 objectives"),
        ((*QUIET, "--fairness.refresh_every", "0"), "refresh_every should be at least 1"),
        ((*QUIET, "--text_encoders", "true"), "none that could be adapted"),
        ((*QUIET, "--objectives.preference.reward", "nowhere:at_all"), "the reward nowhere:at_all cannot be imported"),
        ((*QUIET, "--training.optimiser", "adamw8bit"), "the optimiser adamw8bit needs "),
        ((*TINY, "--samples.prompts", '["a person"]'), "'a person'"),
        ((*QUIET, "--output", "people/manifest.json"), "people/manifest.json"),
    ],
)
def test_a_mistake_is_said_in_one_line_before_the_training(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    status, out, said = run(*arguments)
    own = [line for line in said.splitlines() if line.startswith("python -m trainers.mpd_lora: ")]
    assert (status, out, len(own)) == (2, "", 1)
    assert expected in own[0]


def test_pictures_without_any_region_are_refused(run: Run, tmp_path: Path) -> None:
    bare = make_prepared_people(tmp_path / "bare", 3, without=(0, 1, 2))
    status, _, said = run(*QUIET, "--data.prepared", str(bare), "--data.held_out", "0")
    assert status == 2
    assert "None of 3 pictures to learn from shows a face or hand" in said


def test_too_little_memory_says_what_to_lower(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_hunger.py").write_text(HUNGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = ("--objectives.preference.reward", "own_hunger:hunger", "--objectives.preference.below", "1")
    status, _, said = run(*QUIET, *chosen)
    assert status == 1
    assert "too little memory: set training.checkpointing = true, lower data.resolution" in said


def test_the_example_configuration_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(configuration.example(mpd_lora.Settings, mpd_lora.PROGRAM))
    assert configuration.read(mpd_lora.Settings, tmp_path / "example.toml") == mpd_lora.Settings()
