"""Base models load from files, folders and the hub's cache, and everything else gets one readable sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairhands.base_models import BaseModelError, fingerprint, load
from fairhands.base_models.shapes import SD15, SDXL
from fairhands.base_models.single_file import empty_networks
from fairhands.base_models.stable_diffusion import StableDiffusion
from tests.base_models.checkpoints import write_file, write_folder, write_full_size

ROOT = Path(__file__).parents[2]
# What published checkpoints hold beside the networks.
SPARE = {
    "alphas_cumprod": torch.rand(1000),
    "model_ema.decay": torch.tensor(0.9999),
    "model_ema.diffusion_modelout2bias": torch.rand(4),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    "cond_stage_model.logit_scale": torch.tensor(4.6),
    "global_step": torch.tensor(470000),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("sd") / "tiny")


@pytest.fixture(scope="module")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("xl") / "tiny", xl=True)


def outputs(base) -> list[torch.Tensor]:
    """What each of the networks gives."""
    generator = torch.Generator().manual_seed(0)
    latents, pictures = torch.randn(2, 4, 8, 8, generator=generator), torch.rand(1, 3, 64, 64, generator=generator)
    text = base.encode_text(["a hand", "five fingers"], (64, 64))
    given = [tensor for tensor in (text.states, text.pooled, text.sizes) if tensor is not None]
    return [*given, base.predict(latents, torch.tensor([0.2, 0.7]), text), base.decode(latents), base.encode(pictures)]


def equal(first, second) -> bool:
    pairs = zip(outputs(first), outputs(second), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("xl", [False, True])
def test_one_file_and_a_folder_give_the_same_model(xl: bool, tiny: Path, tiny_xl: Path, tmp_path: Path) -> None:
    folder = tiny_xl if xl else tiny
    file = write_file(tmp_path / "model.safetensors", folder, extra={} if xl else SPARE)
    base = load(file, config=folder)
    assert base.family == ("SDXL" if xl else "SD 1.5")
    assert equal(base, load(folder))
    assert base.process.predicts == "noise"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_file_in_half_precision_is_read_in_any(dtype: torch.dtype, tiny: Path, tmp_path: Path) -> None:
    base = load(write_file(tmp_path / "half.safetensors", tiny, dtype), config=tiny)
    rounded = {name: weight.to(dtype).float() for name, weight in load(tiny).denoiser.state_dict().items()}
    assert all(torch.equal(weight, rounded[name]) for name, weight in base.denoiser.state_dict().items())
    halved = load(write_file(tmp_path / "single.safetensors", tiny), dtype=dtype, config=tiny)
    assert {weight.dtype for weight in halved.denoiser.parameters()} == {dtype}


def test_text_encoders_of_the_oldest_files_have_shorter_names(tiny: Path, tmp_path: Path) -> None:
    weights = load_file(write_file(tmp_path / "model.safetensors", tiny))
    save_file(
        {name.replace(".text_model.", "."): weight for name, weight in weights.items()}, tmp_path / "old.safetensors"
    )
    assert equal(load(tmp_path / "old.safetensors", config=tiny), load(tiny))


def test_what_is_predicted_is_said_by_the_file_the_folder_or_the_caller(tiny: Path, tmp_path: Path) -> None:
    plain = write_file(tmp_path / "plain.safetensors", tiny)
    assert load(plain, config=tiny, predicts="velocity").process.predicts == "velocity"
    marked = write_file(tmp_path / "marked.safetensors", tiny, extra={"v_pred": torch.tensor([])})
    assert load(marked, config=tiny).process.predicts == "velocity"
    assert load(marked, config=tiny, predicts="noise").process.predicts == "noise"
    both = {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    ending = load(write_file(tmp_path / "ending.safetensors", tiny, extra=both), config=tiny)
    assert float(ending.process.kept[-1]) == 0
    with pytest.raises(BaseModelError, match="a schedule that ends in pure noise needs"):
        load(tmp_path / "ending.safetensors", config=tiny, predicts="noise")
    named = tmp_path / "named.safetensors"
    save_file(load_file(plain), named, {"modelspec.prediction_type": "v"})
    assert load(named, config=tiny).process.predicts == "velocity"
    other = write_folder(tmp_path / "velocity", prediction="v_prediction")
    assert load(other).process.predicts == "velocity"
    odd = write_folder(tmp_path / "odd", prediction="sample")
    with pytest.raises(BaseModelError, match="epsilon or v_prediction, found 'sample'"):
        load(odd)


@pytest.mark.parametrize(
    ("shapes", "millions"),
    # As published: 859,520,964 of the U-Net, 83,653,863 of the autoencoder, 123,060,480 of CLIP-L; SDXL likewise.
    [(SD15, [859_520_964, 83_653_863, 123_060_480]), (SDXL, [2_567_463_684, 83_653_863, 123_060_480, 694_659_840])],
)
def test_the_written_shapes_have_the_published_numbers_of_weights(shapes, millions: list[int]) -> None:
    unet, vae, encoders = empty_networks(shapes)
    assert [sum(weight.numel() for weight in part.parameters()) for part in (unet, vae, *encoders)] == millions


def test_nothing_asks_the_network(tiny: Path, tiny_xl: Path, tmp_path: Path) -> None:
    files = [(write_file(tmp_path / f"{folder.parent.name}.safetensors", folder), folder) for folder in (tiny, tiny_xl)]
    program = (
        "import socket, sys\n"
        "def refuse(*_, **__): print('asked the network'); sys.exit(3)\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from pathlib import Path\n"
        "from fairhands.base_models import load\n"
        f"for file, config in {[(str(file), str(config)) for file, config in files]}:\n"
        "    for base in (load(file, config=Path(config)), load(config)):\n"
        "        assert len(base.encode_text(['a hand'])) == 1\n"
    )
    hub = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {**hub, "HF_HOME": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_on_the_hub_is_read_where_it_was_fetched_before(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: asked.append(address) or [])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match="somebody/tiny is no file or folder here, and was not fetched"):
        load("somebody/tiny")
    with pytest.raises(BaseModelError, match=r"models/missing\.safetensors is no file here, expected"):
        load("models/missing.safetensors")
    stored = tmp_path / "models--somebody--tiny"
    revision = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(tiny, stored / "snapshots" / revision)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(revision)
    assert equal(load("somebody/tiny"), load(tiny))
    assert not asked


def test_a_folder_with_half_precision_variants_only(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(tiny, folder)
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert equal(load(folder), load(tiny))


def sentence_of(place: Path | str, **given) -> str:
    with pytest.raises(BaseModelError) as caught:
        load(place, **given)
    sentence = str(caught.value)
    assert str(place) in sentence
    assert "\n" not in sentence
    return sentence


SD = "model.diffusion_model.input_blocks.0.0.weight"
VAE_KEY, CLIP_KEY = "first_stage_model.encoder.conv_in.weight", "cond_stage_model.transformer.text_model.a"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["lora_unet_mid_block.lora_down.weight"], "is a LoRA"),
        (["controlnet_cond_embedding.conv_in.weight"], "is a ControlNet"),
        (["control_model.input_blocks.0.0.weight"], "is a ControlNet"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "is a checkpoint of SD3"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], "is a checkpoint of Flux"),
        (["double_blocks.0.img_attn.qkv.weight"], "is a checkpoint of Flux"),
        ([SD, VAE_KEY, "cond_stage_model.model.positional_embedding"], "is a checkpoint of SD 2"),
        ([SD, VAE_KEY, "conditioner.embedders.0.model.ln_final.weight"], "is a checkpoint of SDXL's refiner"),
        ([SD], "is a U-Net without its VAE"),
        ([SD, VAE_KEY], "is a U-Net and VAE without their text encoder"),
        ([VAE_KEY], "is a VAE"),
        ([CLIP_KEY, "text_model.embeddings.weight"], "is a text encoder"),
        (["something"], "is a safetensors file of another kind"),
    ],
)
def test_files_of_other_models_are_named(keys: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({key: torch.zeros(4, 4) for key in keys}, path)
    sentence = sentence_of(path)
    assert words in sentence
    assert "expected a base model: a checkpoint of SD 1.5 or SDXL" in sentence


def test_a_checkpoint_for_inpainting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({SD: torch.zeros(16, 9, 3, 3), VAE_KEY: torch.zeros(1), CLIP_KEY: torch.zeros(1)}, path)
    assert "inpainting" in sentence_of(path)


def test_pickles_texts_and_cut_files_are_named(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {}}, path)
    assert "only safetensors are read, because pickles can run code" in sentence_of(path)
    path.write_text("no weights")
    assert "is not a safetensors file" in sentence_of(path)
    path.write_bytes(b"")
    assert "is empty" in sentence_of(path)
    content = write_file(tmp_path / "whole.safetensors", tiny).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cut short" in sentence_of(path)


def test_weights_that_do_not_fit_are_named(tiny: Path, tiny_xl: Path, tmp_path: Path) -> None:
    file = write_file(tmp_path / "model.safetensors", tiny)
    sentence = sentence_of(file)
    assert "a checkpoint of SD 1.5 whose U-Net has" in sentence
    assert "which the folder given as config is not" in sentence_of(file, config=tiny_xl)
    weights = load_file(file)
    for name, words in {
        "first_stage_model.decoder.conv_in.bias": "whose VAE has decoder.conv_in.bias nowhere",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias": "final_layer_norm.bias nowhere",
        "model.diffusion_model.middle_block.1.norm.weight": "U-Net has mid_block.attentions.0.norm.weight nowhere",
    }.items():
        less = tmp_path / "less.safetensors"
        save_file({key: weight for key, weight in weights.items() if key != name}, less)
        assert words in sentence_of(less, config=tiny)
    xl = load_file(write_file(tmp_path / "xl.safetensors", tiny_xl))
    del xl["model.diffusion_model.label_emb.0.0.weight"]
    save_file(xl, tmp_path / "xl.safetensors")
    assert "without the weight 'label_emb.0.0.weight'" in sentence_of(tmp_path / "xl.safetensors", config=tiny_xl)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "without a readable model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "a damaged model_index.json"),
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}'),
            "a diffusers folder of FluxPipeline",
        ),
        (lambda folder: (folder / "unet" / "config.json").write_text("{"), "config.json is no valid JSON"),
        (lambda folder: shutil.rmtree(folder / "vae"), "config.json cannot be read"),
        (
            lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
            "vae holds no usable AutoencoderKL in safetensors",
        ),
        (
            lambda folder: (folder / "text_encoder" / "model.safetensors").write_bytes(b"cut"),
            "text_encoder holds no usable CLIPTextModel in safetensors",
        ),
    ],
)
def test_folders_that_cannot_be_used_are_named(
    damage: Callable[[Path], object], words: str, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny, folder)
    damage(folder)
    assert words in sentence_of(folder)


def test_no_file_no_folder_and_no_name_is_said(tmp_path: Path) -> None:
    for place in (tmp_path / "missing.safetensors", "models/checkpoints/missing.safetensors", "somebody/nothing"):
        sentence = sentence_of(place)
        assert "no file" in sentence


def test_a_fingerprint_tells_models_apart(tiny: Path, tiny_xl: Path, tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.safetensors", tiny)
    whole = fingerprint(file)
    shutil.copytree(tiny, tmp_path / "copy")
    assert fingerprint(tiny) == fingerprint(tmp_path / "copy") != fingerprint(tiny_xl)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert fingerprint(file) != whole


def test_the_published_layout_of_sd15_finds_its_place(tmp_path: Path) -> None:
    """A file of the full size, its weights zeros that take no room on the disk."""
    base = load(write_full_size(tmp_path / "sd15.safetensors", SD15), dtype=torch.float16)
    assert isinstance(base, StableDiffusion)
    assert sum(weight.numel() for weight in base.denoiser.parameters()) == 859_520_964
    assert not any(
        weight.is_meta for part in (base.denoiser, base.vae, *base.text_encoders) for weight in part.buffers()
    )
