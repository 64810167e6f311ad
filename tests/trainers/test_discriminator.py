"""The trainer as a terminal sees it: whole runs at tiny settings, kills, several processes, and mistakes."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, ViTConfig, ViTModel

from fairhands.critic import describe, load
from tests.made.logged import logged
from tests.made.prepared_hands import make_prepared_hands
from trainers.discriminator import main

ROOT = Path(__file__).parents[2]
FILE = "hand_discriminator.safetensors"
DRAWN = ("--data.pairs", "8", "--data.held_out_pairs", "7", "--data.drawn_size", "64", "--workers", "0")
TINY = ("--training.steps", "4", "--training.batch", "2", "--input_size", "16", "--widths", "[4, 8]", *DRAWN)
STILL = tuple(
    word
    for name in ("mirrored", "turn", "zoom", "shift", "brightness", "contrast", "saturation", "blurred")
    for word in (f"--augmentation.{name}", "0")
)
LAUNCH = ("accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--main_process_port", "0", "--module")


def start(folder: Path, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launch = [] if processes == 1 else [*LAUNCH[:-1], "--num_processes", str(processes), LAUNCH[-1]]
    command = [sys.executable, "-m", *launch, "trainers.discriminator", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(folder: Path, *arguments: str) -> tuple[int | str | None, str, str]:
    """The program in this process, which saves its start: its status, and what it wrote to both outputs.

    On one thread, as `start` has it: with more of them sums are rounded otherwise.
    """
    out, said = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(said):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["discriminator", *arguments])
        try:
            main()
        except SystemExit as end:
            return end.code, out.getvalue(), said.getvalue()
        finally:
            torch.set_num_threads(threads)
    return 0, out.getvalue(), said.getvalue()


def curve(output: Path) -> list[tuple[int, float]]:
    return logged(output / "logs" / "discriminator")


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer with random weights, as `save_pretrained` leaves it."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path_factory.mktemp("transformers") / "tiny"
    ViTModel(ViTConfig(**shape, image_size=32, patch_size=8), add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_a_run_writes_a_critic_and_only_the_same_seed_the_same_bytes(tmp_path: Path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder, seed in ((first, "0"), (second, "0"), (third, "1")):
        folder.mkdir()
        status, out, progress = run(folder, *TINY, "--output", "new", "--seed", seed, "--training.log_every", "1")
        assert status == 0, progress
        assert out.startswith(f"new/{FILE}: held-out accuracy ")
        assert "training the discriminator" in progress
    critic, summary = load(first / "new" / FILE)
    assert critic.input_size == 16
    assert critic.config.calibration != (1.0, 0.0)
    assert [step for step, _ in summary["held_out"]["losses"]] == [1, 2, 3, 4]
    assert summary["held_out"]["losses"] == [list(point) for point in curve(first / "new")]
    assert 0 <= summary["held_out"]["auc"] <= 1
    assert set(summary["held_out"]["auc_by_kind"]) >= {"six_fingers", "fused", "bent_wrong"}
    assert summary["command"].startswith("python -m trainers.discriminator --training.steps 4")
    assert json.loads((first / "new" / "report" / "report.json").read_text()) == summary
    assert (first / "new" / "report" / "report.png").stat().st_size > 10_000
    assert (first / "new" / FILE).read_bytes() == (second / "new" / FILE).read_bytes()
    other = describe(third / "new" / FILE).summary
    assert other["held_out"]["losses"] != summary["held_out"]["losses"]


def test_after_kill_9_the_loss_curve_goes_on_as_if_nothing_had_happened(tmp_path: Path):
    settings = (*TINY, "--training.steps", "1000", "--training.save_every", "70", "--training.log_every", "30")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "whole", *settings)[0] == 0
    checkpoint = tmp_path / "killed" / "hand_discriminator" / "discriminator.checkpoint.pt"
    with start(tmp_path / "killed", *settings) as process:
        assert process.stderr is not None
        while not checkpoint.exists():
            assert process.poll() is None
            process.stderr.read(10)  # the progress bar, which goes on while there is progress
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert torch.load(checkpoint, weights_only=True)["step"] < 1000
    status, _, said = run(tmp_path / "killed", *settings)
    assert status == 0, said
    whole, killed = (tmp_path / name / "hand_discriminator" for name in ("whole", "killed"))
    assert curve(killed) == curve(whole)
    assert len(curve(whole)) == 33
    weights = load_file(whole / FILE)
    assert all(torch.equal(weight, weights[name]) for name, weight in load_file(killed / FILE).items())


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, tiny_vit: Path):
    vit = ("--backbone", str(tiny_vit), "--input_size", "32", *DRAWN, "--training.steps", "6")
    settings = (*vit, "--training.log_every", "1", "--training.precision", "fp32")
    status, _, said = run(tmp_path, *settings, "--output", "one", "--training.batch", "4")
    assert status == 0, said
    with start(tmp_path, *settings, "--output", "two", "--training.batch", "2", processes=2) as process:
        _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert [loss for _, loss in curve(tmp_path / "two")] == pytest.approx(
        [loss for _, loss in curve(tmp_path / "one")], abs=1e-3
    )
    one, two = (load_file(tmp_path / name / FILE) for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-3, rtol=1e-3)


def test_features_of_a_frozen_backbone_are_cached_when_pictures_stay_as_they_are(tmp_path: Path, tiny_vit: Path):
    vit = ("--backbone", str(tiny_vit), "--input_size", "32", *DRAWN, "--training.steps", "6")
    settings = (*vit, "--training.log_every", "1", "--training.precision", "fp32", *STILL)
    first = run(tmp_path, *settings, "--output", "cached")
    assert first[0] == 0, first[2]
    assert "caching features" in first[2]
    size = (tmp_path / "cached" / "features.bin").stat().st_size
    assert size == 16 * 5 * 16 * 16 * 2  # crops, maps, channels, places, bytes
    (tmp_path / "cached" / "discriminator.checkpoint.pt").unlink()
    again = run(tmp_path, *settings, "--output", "cached")
    assert again[0] == 0, again[2]
    assert "caching features" not in again[2]
    # A change too small to see stands for no change, but does without the cache.
    plain = run(tmp_path, *settings, "--augmentation.brightness", "1e-9", "--output", "plain")
    assert "caching features" not in plain[2]
    assert [loss for _, loss in curve(tmp_path / "cached")] == pytest.approx(
        [loss for _, loss in curve(tmp_path / "plain")], abs=1e-3
    )


def test_a_frozen_backbone_stays_while_its_heads_are_trained_on(tmp_path: Path):
    assert run(tmp_path, *TINY, "--output", "first")[0] == 0
    first = ("--start_from", f"first/{FILE}", "--frozen", "true", "--output", "second")
    status, _, said = run(tmp_path, "--training.steps", "4", "--training.batch", "2", *DRAWN, *first)
    assert status == 0, said
    before, after = (load_file(tmp_path / name / FILE) for name in ("first", "second"))
    changed = {name.split(".")[0] for name, weight in before.items() if not torch.equal(after[name], weight)}
    assert changed == {"heads"}


def test_a_file_without_its_backbone_is_smaller_and_names_it(tmp_path: Path, tiny_vit: Path):
    vit = ("--backbone", str(tiny_vit), "--input_size", "32", *DRAWN, "--training.steps", "1")
    assert run(tmp_path, *vit, "--output", "with")[0] == 0
    assert run(tmp_path, *vit, "--output", "without", "--with_backbone", "false")[0] == 0
    assert (tmp_path / "without" / FILE).stat().st_size < (tmp_path / "with" / FILE).stat().st_size
    pictures = torch.rand(2, 3, 32, 32)
    whole, _ = load(tmp_path / "with" / FILE)
    heads, _ = load(tmp_path / "without" / FILE, backbones=[tiny_vit.parent])
    torch.testing.assert_close(heads(pictures), whole(pictures), atol=1e-3, rtol=1e-3)


def test_prepared_hands_and_their_captions_are_learnt_from(tmp_path: Path):
    crops = [
        (f"pair{pair}", kind, level, f"a hand {pair % 3}")
        for pair in range(12)
        for kind in ("real", "fake")
        for level in (0, 300)
    ]
    make_prepared_hands(tmp_path / "hands", *crops)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = CLIPTextModel(CLIPTextConfig(**shape, eos_token_id=49407, bos_token_id=49406))
    text.save_pretrained(tmp_path / "text")
    model = ROOT / "weights" / "checkpoints" / "mannequin_model.safetensors"
    settings = (*TINY, "--data.prepared", '["hands"]', "--data.held_out", "0.3", "--text_encoder", "text")
    check = ("--check.base", str(model), "--check.hands", "1")
    judge = ("--check.finger_judge", str(ROOT / "weights" / "finger_judge.safetensors"))
    status, _, said = run(tmp_path, *settings, *check, *judge, "--output", "new")
    assert status == 0, said
    critic, summary = load(tmp_path / "new" / FILE)
    assert critic.config.text_dimension == 16
    assert critic.config.text_encoder == "text"
    assert summary["data"].endswith("pairs from hands")
    assert summary["held_out"]["auc_by_kind"] == {}
    assert summary["held_out"]["gradient_check"]["pictures"] == 1
    assert not torch.equal(critic(torch.zeros(1, 3, 16, 16), torch.ones(1, 16)), critic(torch.zeros(1, 3, 16, 16)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stepz", "3"), "no known key is like it"),
        (("--training.stepz", "3"), 'the closest known key is "training.steps"'),
        (("--backbone", "nobody/vit"), "nobody/vit"),
        (("--input_size", "50"), "divisible by 2"),
        (("--output", "file/new"), "file"),
        (("--data.model", "nothing.safetensors"), "a fairhands mannequin model is written by"),
        (("--data.prepared", '["nowhere"]'), "nowhere"),
        (("--start_from", "nothing.safetensors", "--backbone", "conv"), "the file's own backbone and input_size and"),
        (("--text_encoder", "nothing"), "text_encoder: nothing is no checkpoint"),
        (("--check.base", "model.safetensors"), "check.base wants prepared hands"),
    ],
)
def test_a_mistake_is_one_line_before_the_work(arguments: tuple[str, ...], words: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    status, out, said = run(tmp_path, *TINY, *arguments)
    assert (status, out) == (2, "")
    last = said.splitlines()[-1]
    assert last.startswith("python -m trainers.discriminator: ")
    assert words in last
    assert "Traceback" not in said


def test_a_file_to_start_from_and_its_texts_have_to_fit(tmp_path: Path):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = CLIPTextModel(CLIPTextConfig(**shape, eos_token_id=49407, bos_token_id=49406))
    text.save_pretrained(tmp_path / "text")
    assert run(tmp_path, *TINY, "--output", "first")[0] == 0
    for arguments, words in (
        (("--start_from", "nothing.safetensors"), "nothing.safetensors is not there"),
        (("--start_from", f"first/{FILE}", "--text_encoder", "text"), "judges by texts of no numbers, found 16"),
        (("--text_encoder", "text"), "text_encoder: the pairs have no captions for it to embed"),
    ):
        status, out, said = run(tmp_path, *DRAWN, *arguments)
        assert (status, out) == (2, ""), said
        assert words in said.splitlines()[-1]


def test_a_single_held_out_pair_is_enough(tmp_path: Path):
    status, out, said = run(tmp_path, *TINY, "--data.held_out_pairs", "1", "--training.sample_every", "2")
    assert status == 0, said
    assert "held-out accuracy" in out
    assert load(tmp_path / "hand_discriminator" / FILE)[1]["held_out"]["calibration_error"] is None


def test_an_interrupted_run_says_how_it_goes_on(tmp_path: Path):
    # Where tests run in the background, Ctrl-C is ignored, and programs they start inherit that; not from a handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with start(tmp_path, *TINY, "--training.steps", "1000000") as process:
        assert process.stderr is not None
        while "training" not in process.stderr.readline(200):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith("the same command goes on from the last checkpoint in hand_discriminator")
    assert not (tmp_path / "hand_discriminator" / FILE).exists()
