"""The trainer as a terminal sees it: whole runs at tiny settings, kills, several processes, and mistakes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fairhands.adapters import export
from fairhands.adapters.lora import LoraAdapter
from fairhands.base_models import load
from fairhands.data.mannequin import draw
from fairhands.training import configuration
from tests.adapters.bases import MANNEQUIN, predicted, tiny
from tests.made.logged import logged
from trainers import hand_lora

ROOT = Path(__file__).parents[2]
FILE, CHECKPOINT = "hand_lora.safetensors", "hand_lora.checkpoint.pt"
PROMPTS = """
[[prompts]]
target = "hand"
neutral = "hand"
positives = ["right hand"]
negatives = ["malformed hand"]
resolution = 64
"""
FAST = (
    *("--training.steps", "6", "--training.log_every", "1", "--training.precision", "fp32", "--training.warm_up", "2"),
    *("--training.learning_rate", "0.01", "--start.steps", "4", "--start.reservoir_size", "6"),
)
TINY = (*FAST, "--samples.seeds", "1", "--samples.steps", "2", "--samples.scales", "[-1, 0, 2]")
QUIET = (*FAST, "--samples.seeds", "0")
LAUNCH = ("accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--main_process_port", "0")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the trainer in this process, in the test's folder or one in it; gives its status and what it said.

    On one thread, as `start` has it: with more of them sums are rounded otherwise.
    """

    def started(
        *arguments: str, base: str = str(MANNEQUIN), prompts: str | None = PROMPTS, folder: str = "."
    ) -> tuple[int, str, str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        given = ["--base", base]
        if prompts is not None:
            Path("hands.toml").write_text(prompts)
            given += ["--config", "hands.toml"]
        monkeypatch.setattr(sys, "argv", ["hand_lora", *given, *arguments])
        capfd.readouterr()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            hand_lora.main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            torch.set_num_threads(threads)
        return status, *capfd.readouterr()

    return started


def start(folder: Path, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    """The trainer as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launch = () if processes == 1 else (*LAUNCH, "--num_processes", str(processes), "--module")
    folder.mkdir(exist_ok=True)
    (folder / "hands.toml").write_text(PROMPTS)
    given = ("trainers.hand_lora", "--base", str(MANNEQUIN), "--config", "hands.toml")
    command = [sys.executable, "-m", *launch, *given, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def curve(output: Path) -> list[tuple[int, float]]:
    return logged(output / "logs" / "hand_lora")


def test_a_run_writes_a_lora_that_says_what_made_it_and_a_sheet_of_its_scales(run: Run, tmp_path: Path) -> None:
    status, out, said = run(*TINY)
    assert status == 0, said
    assert out.startswith(f"hand_lora/{FILE}: steps 6, loss ")
    output = tmp_path / "hand_lora"
    assert sorted(sheet.name for sheet in (output / "samples").iterdir()) == [
        "hand_lora_000000.png",
        "hand_lora_000006.png",
    ]
    assert [step for step, _ in curve(output)] == list(range(1, 7))
    with safe_open(str(output / FILE), "pt") as file:
        texts = file.metadata()
    made_by = json.loads(texts["made_by"])
    assert made_by["command"].startswith("python -m trainers.hand_lora --base ")
    assert made_by["prompts"][0]["negatives"] == ["malformed hand"]
    assert (made_by["steps"], made_by["base"], made_by["seed"]) == (6, MANNEQUIN.name, 0)
    base = load(MANNEQUIN)
    own = predicted(base)
    settings, of_text = export.settings_of(output / FILE)
    adapter = LoraAdapter(base, settings)
    export.load(adapter, output / FILE)
    adapter.eval()
    assert (settings.rank, settings.layers, of_text) == (4, "attention", False)
    assert not torch.allclose(predicted(base), own)
    with adapter.scaled(0):
        assert torch.equal(predicted(base), own)


def test_only_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for folder, seed in (("first", "0"), ("second", "0"), ("third", "1")):
        status, _, said = run(*QUIET, "--seed", seed, folder=folder)
        assert status == 0, said
    outputs = [tmp_path / folder / "hand_lora" for folder in ("first", "second", "third")]
    assert not any((output / "samples").exists() for output in outputs)
    assert (outputs[0] / FILE).read_bytes() == (outputs[1] / FILE).read_bytes()
    assert curve(outputs[0]) == curve(outputs[1]) != curve(outputs[2])
    second, third = (load_file(output / FILE) for output in outputs[1:])
    assert all(not torch.equal(third[name], weight) for name, weight in second.items() if "down" in name)


@pytest.mark.parametrize("kind", ["denoised", "pictures"])
def test_it_learns_at_the_other_starts_too(
    run: Run, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.fromarray(draw(number, 64).picture).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"nothing")
    options = ("--start.kind", kind, "--start.pictures", "pictures", "--training.steps", "20")
    status, _, said = run(*QUIET, *options, "--training.batch", "4")
    assert status == 0, said
    losses = [loss for _, loss in curve(tmp_path / "hand_lora")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    if kind == "pictures":
        assert "broken.png" in caplog.text
        assert "1 of 4 pictures were left out" in caplog.text


@pytest.mark.parametrize(("family", "attributes"), [("SD 1.5", "averaged"), ("SDXL", "sampled")])
def test_it_trains_on_stable_diffusion(run: Run, tmp_path: Path, family: str, attributes: str) -> None:
    tiny(family, tmp_path / "base")
    prompts = '[[prompts]]\npositives = ["good hands"]\nnegatives = ["bad"]\nattributes = ["a", "b"]\nresolution = 64\n'
    prompts += '[[prompts]]\npositives = ["fine"]\nnegatives = ["wrong", "ugly"]\nresolution = 128\n'
    layers = ("--network.layers", "all", "--training.checkpointing", "true", "--attributes", attributes)
    status, _, said = run(*TINY, *layers, "--training.steps", "3", base="base", prompts=prompts)
    assert status == 0, said
    weights = load_file(tmp_path / "hand_lora" / FILE)
    assert any(weight.abs().max() > 0 for name, weight in weights.items() if name.endswith("lora_up.weight"))
    sheet = Image.open(tmp_path / "hand_lora" / "samples" / "hand_lora_000003.png")
    assert sheet.width > 3 * 128  # the rows of two prompts, one of them of 128 pixels


def test_after_kill_9_the_loss_curve_goes_on_as_if_nothing_had_happened(run: Run, tmp_path: Path) -> None:
    long = (*QUIET, "--training.steps", "30", "--training.save_every", "10")
    killed, whole = (tmp_path / folder / "hand_lora" for folder in ("killed", "whole"))
    with start(tmp_path / "killed", *long) as process:
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
    assert curve(killed) == curve(whole)
    assert len(curve(whole)) == 30
    told, expected = (load_file(output / FILE) for output in (killed, whole))
    assert all(torch.equal(told[name], weight) for name, weight in expected.items())


def test_two_processes_train_as_one_with_twice_the_batch(run: Run, tmp_path: Path) -> None:
    plain = (*QUIET, "--training.steps", "12")
    assert run(*plain, "--output", "one", "--training.batch", "4")[0] == 0
    with start(tmp_path, *plain, "--output", "two", "--training.batch", "2", processes=2) as process:
        _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert [loss for _, loss in curve(tmp_path / "two")] == pytest.approx(
        [loss for _, loss in curve(tmp_path / "one")], rel=1e-2
    )
    one, two = (torch.load(tmp_path / name / CHECKPOINT) for name in ("one", "two"))
    for name, kept in one["beside"].items():
        torch.testing.assert_close(two["beside"][name], kept, atol=1e-2, rtol=1e-2)


def written(path: Path, names: list[str]) -> str:
    """A file of other weights, by their names."""
    save_file({name: torch.zeros(2, 2) for name in names}, path)
    return str(path)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], "LoRA"),
        (["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.model.ln_final.weight"], "SD 2"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
    ],
)
def test_what_is_no_base_is_named(run: Run, tmp_path: Path, names: list[str], found: str) -> None:
    status, _, said = run(base=written(tmp_path / "other.safetensors", names))
    assert status == 2
    assert said.count("\n") == 1
    assert found in said
    assert "expected a base model" in said


@pytest.mark.parametrize(
    ("arguments", "prompts", "expected"),
    [
        ((), '[[prompts]]\npositives = ["a"]\nnegativs = ["b"]\n', 'closest known key is "prompts.0.negatives"'),
        ((), '[[prompts]]\npositives = ["a"]\n', '"prompts.0.negatives" in hands.toml should name at least one'),
        (("--trainin.steps", "3"), None, 'closest known key is "training.steps"'),
        (("--preset", "mannequinn"), None, 'the nearest is "mannequin"'),
        (("--preset", "hands"), None, "prompt: expected one of 'hand', 'right hand', "),
        (("--start.kind", "pictures"), PROMPTS, "start.pictures should be their folder, found None"),
        (("--start.kind", "pictures", "--start.pictures", "."), PROMPTS, "which holds no pictures"),
        (("--training.optimiser", "adamw8bit"), PROMPTS, "the optimiser adamw8bit needs "),
        (("--output", "hands.toml"), PROMPTS, "hands.toml"),
        ((), PROMPTS.replace("64", "72"), "resolution should be a multiple of 16 for mannequin, found 72"),
        ((), PROMPTS.replace('"right hand"', '"natural hand"'), "found 'natural hand'"),
    ],
)
def test_a_mistake_is_said_in_one_line_before_the_training(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], prompts: str | None, expected: str
) -> None:
    status, out, said = run(*arguments, prompts=prompts)
    assert (status, out) == (2, "")
    assert expected in said
    assert said.count("\n") == 1
    assert said.startswith("python -m trainers.hand_lora: ")


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_a_base_in_8_bits_names_the_package_that_it_needs(run: Run) -> None:
    status, _, said = run("--base_precision", "8bit")
    assert status == 2
    assert "needs the package bitsandbytes" in said


def test_without_a_base_it_says_how_one_is_given(run: Run) -> None:
    status, _, said = run(base="")
    assert status == 2
    assert "--base names a checkpoint" in said


def test_too_little_memory_says_what_to_lower(run: Run, tmp_path: Path) -> None:
    status, _, said = run(prompts=PROMPTS.replace("64", str(2**24)))
    assert status == 1
    assert "too little memory: lower the prompts' resolution, training.batch" in said
    assert not (tmp_path / "hand_lora" / FILE).exists()


def test_settings_of_another_shape_do_not_go_on_from_a_checkpoint(run: Run) -> None:
    assert run(*QUIET)[0] == 0
    for changed in (("--network.rank", "8"), ("--start.reservoir_size", "7")):
        status, _, said = run(*QUIET, "--training.steps", "9", *changed)
        assert status == 1
        assert "a network of another shape: give the settings that it was begun with" in said


def test_the_example_configuration_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(configuration.example(hand_lora.Settings, hand_lora.PROGRAM))
    assert configuration.read(hand_lora.Settings, tmp_path / "example.toml") == hand_lora.Settings()
