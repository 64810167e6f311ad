"""A critic's file gives back the critic that was saved, and every other file gets one readable sentence."""

import json
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fairhands.critic import Critic, CriticConfig, CriticFileError, describe, load, save
from fairhands.critic.header import read_header

ROOT = Path(__file__).parents[2]
SMALL = CriticConfig(input_size=16, widths=(4, 8), margin=0.2)
SUMMARY = {"command": "python -m trainers.discriminator", "seed": 3, "held_out": {"auc": 0.9}}


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(0)
    critic = Critic(SMALL)
    critic(torch.rand(4, 3, 16, 16))
    return critic.eval()


@pytest.fixture(scope="module")
def good(critic: Critic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "critic.safetensors"
    save(critic, path, SUMMARY)
    return path


def sentence_of(path: Path) -> str:
    with pytest.raises(CriticFileError) as caught:
        load(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is ")
    assert "python -m trainers.discriminator" in sentence
    assert "\n" not in sentence
    return sentence


def rewritten(
    good: Path,
    path: Path,
    metadata: dict[str, str | None] | None = None,
    tensors: dict[str, torch.Tensor] | None = None,
) -> Path:
    """The good file with some texts (None: without it) and tensors replaced."""
    texts = {**read_header(good).metadata, **(metadata or {})}
    kept = {key: text for key, text in texts.items() if text is not None}
    save_file({**load_file(good), **(tensors or {})}, path, kept)
    return path


def test_what_is_loaded_is_what_was_saved(critic: Critic, good: Path):
    loaded, summary = load(good)
    assert summary == SUMMARY
    assert loaded.config == SMALL
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    pictures = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(pictures), critic(pictures))
    for name, tensor in critic.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.float())


def test_the_file_says_what_it_is(good: Path):
    metadata = read_header(good).metadata
    assert metadata["fairhands.kind"] == "hand_discriminator"
    assert metadata["fairhands.format"] == "2"
    assert json.loads(metadata["fairhands.config"])["margin"] == 0.2
    assert "Apache-2.0" in metadata["fairhands.licence"]
    description = describe(good)
    assert (description.format, description.config, description.summary) == (2, SMALL, SUMMARY)


def test_a_file_of_the_first_format_still_loads(good: Path, tmp_path: Path):
    config = {"backbone": "conv", "input_size": 16, "margin": 0.2, "widths": [4, 8], "text_dimension": None}
    first = {"fairhands.format": "1", "fairhands.config": json.dumps(config)}
    critic, summary = load(rewritten(good, tmp_path / "first.safetensors", first))
    assert (critic.config, summary) == (SMALL, SUMMARY)
    assert describe(tmp_path / "first.safetensors").format == 1
    shipped, _ = load(ROOT / "weights/hand_discriminators/studio_critic.safetensors")
    assert shipped(torch.rand(1, 3, shipped.input_size, shipped.input_size)).isfinite().all()


def test_the_same_critic_gives_the_same_bytes(critic: Critic, good: Path, tmp_path: Path):
    for number in range(5):
        save(critic, tmp_path / str(number), SUMMARY)
        assert (tmp_path / str(number)).read_bytes() == good.read_bytes()


def test_a_critic_loaded_in_inference_mode_carries_a_gradient(good: Path):
    with torch.inference_mode():
        critic, _ = load(good)
        with torch.inference_mode(False), torch.enable_grad():
            pictures = torch.rand(1, 3, 16, 16, requires_grad=True)
            critic.loss(critic(pictures)).sum().backward()
    assert not any(tensor.is_inference() for tensor in critic.state_dict().values())
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0


def test_loading_leaves_the_random_numbers_alone(good: Path):
    before = torch.random.get_rng_state()
    load(good)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path):
    assert "is not there, expected a hand discriminator" in sentence_of(tmp_path / "missing.safetensors")
    assert "is not readable" in sentence_of(tmp_path)


def test_an_empty_file_and_a_text(tmp_path: Path):
    path = tmp_path / "critic.safetensors"
    path.write_bytes(b"")
    assert "is empty" in sentence_of(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is not a safetensors file" in sentence_of(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_file_is_never_opened(zipped: bool, critic: Critic, tmp_path: Path):
    path = tmp_path / "critic.pt"
    torch.save(critic.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert "only safetensors are read, because pickles can run code" in sentence_of(path)
    path.write_bytes(pickle.dumps({"weights": [1.0] * 100}))
    assert "pickled" in sentence_of(path)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["lora_unet_mid_block_attn1_to_q.lora_down.weight"], "is a LoRA"),
        (["unet.mid_block.attn1.to_q.lora_A.weight"], "is a LoRA"),
        (["model.diffusion_model.out.2.weight"], "is a checkpoint of a base model"),
        (["controlnet_cond_embedding.conv_in.weight"], "is a ControlNet"),
        (["something.weight"], "is a safetensors file of another kind (1 tensors"),
    ],
)
def test_a_safetensors_file_of_another_kind(keys: list[str], words: str, tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_file({key: torch.zeros(2) for key in keys}, path)
    assert words in sentence_of(path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"fairhands.kind": "hand_lora"}, "a file of the kind 'hand_lora'"),
        ({"fairhands.format": "3"}, "format 3 from a newer FairHands, expected format 2"),
        ({"fairhands.format": "new"}, "whose format, 'new', is not a number"),
        ({"fairhands.config": None}, "without its 'fairhands.config' metadata"),
        ({"fairhands.config": "{"}, "unusable metadata"),
        ({"fairhands.config": "[]"}, "unusable metadata"),
        ({"fairhands.config": '{"depth": 3}'}, "unusable metadata"),
        ({"fairhands.config": '{"widths": 3}'}, "unusable metadata"),
        ({"fairhands.config": '{"backbone": "vat"}'}, "cannot build (backbone should be one of"),
        ({"fairhands.config": '{"backbone": "vit"}'}, "cannot build (transformer should be given"),
        ({"fairhands.config": '{"transformer": {"name": 3, "shape": {}}}'}, "unusable metadata (a transformer's name"),
        ({"fairhands.summary": "[1]"}, "unusable metadata"),
    ],
)
def test_metadata_that_cannot_be_used(metadata: dict, words: str, good: Path, tmp_path: Path):
    assert words in sentence_of(rewritten(good, tmp_path / "changed.safetensors", metadata))


def test_tensors_that_do_not_fit(good: Path, tmp_path: Path):
    path = tmp_path / "changed.safetensors"
    bias = load_file(good)["heads.0.judge.bias"]
    assert "heads.0.judge.bias has values that are not finite" in sentence_of(
        rewritten(good, path, tensors={"heads.0.judge.bias": bias * torch.nan})
    )
    assert "heads.0.judge.bias is [2] and not [1]" in sentence_of(
        rewritten(good, path, tensors={"heads.0.judge.bias": torch.zeros(2)})
    )
    assert "unexpected tensor spare" in sentence_of(rewritten(good, path, tensors={"spare": bias}))
    tensors = load_file(good)
    del tensors["heads.0.judge.bias"]
    save_file(tensors, path, read_header(good).metadata)
    assert "without the tensor heads.0.judge.bias" in sentence_of(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_anywhere_is_refused(share: float, good: Path, tmp_path: Path):
    content = good.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    sentence = sentence_of(path)
    assert "cut short" in sentence or "is empty" in sentence
    with pytest.raises(CriticFileError):
        describe(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 3000), byte=st.integers(0, 255))
def test_a_damaged_byte_never_gives_another_error(place: int, byte: int, good: Path, tmp_path: Path):
    content = bytearray(good.read_bytes())
    content[place] = byte
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        load(path)
    except CriticFileError as error:
        assert str(path) in str(error)  # noqa: PT017


def limit_file_size():
    """What a full disk is to a program: the write fails in the middle."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_a_save_that_fails_leaves_the_old_file(good: Path, tmp_path: Path):
    path = tmp_path / "critic.safetensors"
    path.write_bytes(good.read_bytes())
    program = "import sys; from fairhands.critic import *; save(Critic(CriticConfig()), sys.argv[1], {})"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError" in ended.stderr
    assert path.read_bytes() == good.read_bytes()
    assert list(tmp_path.iterdir()) == [path]
