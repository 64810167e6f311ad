"""A critic's transformer is found where the user has it, is known by its hash, and lies in the critic's file."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fairhands.critic import Critic, CriticConfig, CriticFileError, describe, load, save
from fairhands.critic.config import IMAGENET_DEVIATION, IMAGENET_MEAN, Transformer
from fairhands.critic.header import read_header
from fairhands.critic.pretrained import licence_of, pretrained
from fairhands.critic.vit import FAMILIES
from fairhands.critic.weights import digest

ROOT = Path(__file__).parents[2]
QUERY = {
    "vit": "encoder.layer.3.attention.attention.query.weight",
    "dinov2": "encoder.layer.3.attention.attention.query.weight",
    "dinov2_with_registers": "encoder.layer.3.attention.attention.query.weight",
    "dinov3_vit": "layer.3.attention.q_proj.weight",
}
families = pytest.mark.parametrize("family", FAMILIES)


def critic_on(folder: Path) -> Critic:
    torch.manual_seed(0)
    transformer, weights = pretrained(str(folder))
    transformer = replace(transformer, places=(0, 4))  # fewer heads, which take time to build
    critic = Critic(CriticConfig("vit", 32, 0.2, text_dimension=6, text_encoder="clip", transformer=transformer))
    critic.backbone.fill(weights)
    return critic.eval()


@torch.no_grad()
def judged(critic: Critic) -> torch.Tensor:
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return critic(pictures, torch.ones(1, 6))


@families
def test_a_folder_says_what_its_transformer_is(family: str, transformer_folder):
    folder = transformer_folder(family)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.4, 0.3]}')
    transformer, weights = pretrained(str(folder))
    assert (transformer.name, transformer.places) == (f"tests/{family}", (0, 1, 2, 3, 4))
    assert (transformer.mean, transformer.deviation) == ((0.5, 0.5, 0.5), (0.5, 0.4, 0.3))
    assert transformer.sha256 == digest(weights)
    assert transformer.shape["model_type"] == family
    assert transformer.shape["layer_norm_eps"] == 1e-3
    saved = load_file(folder / "model.safetensors")
    assert saved.keys() == weights.keys()
    assert QUERY[family] in weights
    assert all(torch.equal(weights[name].float(), saved[name]) for name in saved)


def test_colours_are_imagenets_where_the_folder_does_not_say(transformer_folder):
    transformer, _ = pretrained(str(transformer_folder("vit")))
    assert (transformer.mean, transformer.deviation) == (IMAGENET_MEAN, IMAGENET_DEVIATION)


def test_a_classifiers_folder_gives_the_same_transformer(transformer_folder, tmp_path: Path):
    folder = transformer_folder("vit")
    classifier = transformers.ViTForImageClassification.from_pretrained(folder)
    classifier.save_pretrained(tmp_path / "classifier")
    assert pretrained(str(tmp_path / "classifier"))[0].sha256 == pretrained(str(folder))[0].sha256


@families
def test_a_file_with_its_backbone_gives_back_the_same_judgements(family: str, transformer_folder, tmp_path: Path):
    critic = critic_on(transformer_folder(family))
    save(critic, tmp_path / "critic.safetensors", {"seed": 3})
    loaded, summary = load(tmp_path / "critic.safetensors", backbones=[])
    assert (summary, loaded.config) == ({"seed": 3}, critic.config)
    assert torch.equal(judged(loaded), judged(critic))
    assert not any(weight.requires_grad for weight in loaded.parameters())
    tensors = load_file(tmp_path / "critic.safetensors")
    assert tensors[f"backbone.{QUERY[family]}"].dtype == torch.float16
    assert {name.split(".")[0] for name in tensors} == {"heads", "backbone"}
    save(loaded, tmp_path / "again.safetensors", {"seed": 3})
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "critic.safetensors").read_bytes()


@families
def test_a_file_without_its_backbone_finds_it_by_its_name_and_hash(family: str, transformer_folder, tmp_path: Path):
    folder = transformer_folder(family)
    critic = critic_on(folder)
    save(critic, tmp_path / "critic.safetensors", {}, with_backbone=False)
    assert not any(name.startswith("backbone") for name in load_file(tmp_path / "critic.safetensors"))
    loaded, _ = load(tmp_path / "critic.safetensors", backbones=[tmp_path, folder.parent])
    assert torch.equal(judged(loaded), judged(critic))


@pytest.mark.parametrize("place", ["", "backbones"])
def test_a_backbone_may_be_a_file_beside_the_critics(place: str, transformer_folder, tmp_path: Path):
    folder = transformer_folder("vit")
    critic = critic_on(folder)
    save(critic, tmp_path / "critic.safetensors", {}, with_backbone=False)
    (tmp_path / place).mkdir(exist_ok=True)
    save_file(load_file(folder / "model.safetensors"), tmp_path / place / f"{folder.name}.safetensors")
    assert torch.equal(judged(load(tmp_path / "critic.safetensors")[0]), judged(critic))


def test_a_missing_backbone_is_asked_for_in_a_sentence(transformer_folder, tmp_path: Path):
    path = tmp_path / "critic.safetensors"
    critic = critic_on(transformer_folder("vit"))
    save(critic, path, {}, with_backbone=False)
    with pytest.raises(CriticFileError) as caught:
        load(path)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"{path} is a hand discriminator without its backbone, and its backbone tests/vit (sha256"
    )
    assert f"neither in {tmp_path} or {tmp_path / 'backbones'} nor in the hub's local cache: put it there" in sentence
    assert "tests--vit, or save the discriminator with its backbone" in sentence
    assert "\n" not in sentence


def test_other_backbones_of_the_same_name_are_refused(transformer_folder, tmp_path: Path):
    critic = critic_on(transformer_folder("vit"))
    path = tmp_path / "critic.safetensors"
    save(critic, path, {}, with_backbone=False)
    other = transformer_folder("vit", seed=1)
    with pytest.raises(CriticFileError, match=f"{other} has other weights, of the hash [0-9a-f]{{64}}: put it there"):
        load(path, backbones=[other.parent])
    (tmp_path / "tests--vit.safetensors").write_bytes(b"damaged")
    with pytest.raises(CriticFileError, match=r"tests--vit\.safetensors cannot be read as its weights"):
        load(path)


@pytest.mark.parametrize("change", ["value", "missing", "spare", "shape", "not finite"])
def test_a_changed_backbone_in_the_file_is_refused(change: str, transformer_folder, tmp_path: Path):
    path = tmp_path / "critic.safetensors"
    save(critic_on(transformer_folder("vit")), path, {})
    tensors, name = load_file(path), f"backbone.{QUERY['vit']}"
    changed = {
        "value": {name: tensors[name] + 1},
        "spare": {"backbone.spare": torch.zeros(1)},
        "shape": {name: tensors[name][:-1].clone()},
        "not finite": {name: tensors[name] * torch.nan},
        "missing": {},
    }
    del tensors[name]
    save_file({**tensors, **changed[change]}, path, read_header(path).metadata)
    with pytest.raises(
        CriticFileError, match=r"is a hand discriminator whose backbone has the hash [0-9a-f]{64} and not"
    ):
        load(path)


def test_a_critic_whose_backbone_was_not_filled_is_not_saved(transformer_folder, tmp_path: Path):
    transformer, _ = pretrained(str(transformer_folder("vit")))
    critic = Critic(CriticConfig("vit", 32, transformer=transformer))
    with pytest.raises(ValueError, match=r"should be those of tests/vit.*critic\.backbone\.fill"):
        save(critic, tmp_path / "critic.safetensors", {})
    assert list(tmp_path.iterdir()) == []
    critic = Critic(CriticConfig("vit", 32, transformer=replace(transformer, sha256="")))
    save(critic, tmp_path / "critic.safetensors", {})
    assert len(load(tmp_path / "critic.safetensors")[0].config.transformer.sha256) == 64
    with pytest.raises(ValueError, match="with_backbone should be True: the backbone 'conv'"):
        save(Critic(CriticConfig()), tmp_path / "conv.safetensors", {}, with_backbone=False)


def test_the_file_names_its_parts_and_their_licences(transformer_folder, tmp_path: Path):
    critic = critic_on(transformer_folder("vit"))
    critic.config = replace(critic.config, transformer=replace(critic.config.transformer, name="facebook/dino-vits16"))
    save(critic, tmp_path / "critic.safetensors", {})
    description = describe(tmp_path / "critic.safetensors")
    assert description.licence.endswith("licence of the backbone facebook/dino-vits16: Apache-2.0")
    assert "the weights may carry the terms of the training data" in description.licence
    assert (description.config.text_encoder, description.format) == ("clip", 2)
    assert licence_of("facebook/dinov2-base") == "Apache-2.0"
    assert licence_of("facebook/dinov3-vits16-pretrain-lvd1689m") == "DINOv3 License"
    assert licence_of("google/vit-base-patch16-224").startswith("unknown")


def test_a_critic_loaded_in_inference_mode_carries_a_gradient(transformer_folder, tmp_path: Path):
    save(critic_on(transformer_folder("dinov3_vit")), tmp_path / "critic.safetensors", {})
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        critic, _ = load(tmp_path / "critic.safetensors")
        with torch.inference_mode(False), torch.enable_grad():
            pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
            critic.loss(critic(pictures)).sum().backward()
    assert not any(tensor.is_inference() for tensor in [*critic.parameters(), *critic.buffers()])
    assert not any(tensor.is_meta for tensor in [*critic.parameters(), *critic.buffers()])
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0
    torch.random.set_rng_state(before)
    load(tmp_path / "critic.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_saving_and_loading_say_nothing(transformer_folder, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folder = transformer_folder("vit")
    capfd.readouterr()
    save(critic_on(folder), tmp_path / "critic.safetensors", {})
    load(tmp_path / "critic.safetensors")
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.is_progress_bar_enabled()


def test_a_file_with_its_backbone_needs_no_network_and_no_cache(transformer_folder, tmp_path: Path):
    critic = critic_on(transformer_folder("dinov2"))
    save(critic, tmp_path / "critic.safetensors", {})
    program = (
        "import sys, socket\n"
        "def refuse(*_): raise SystemExit('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from fairhands.critic import load; load(sys.argv[1])"
    )
    empty = {**os.environ, "HF_HOME": str(tmp_path / "no cache")}
    command = [sys.executable, "-c", program, str(tmp_path / "critic.safetensors")]
    subprocess.run(command, cwd=ROOT, env=empty, check=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dino_vits16", "backbone facebook/dino-vits16 is no local folder and is not in the hub's local cache"),
        (
            "tests/none",
            "allow the download .download = true., or get config.json and model.safetensors from https://huggingface.co/tests",
        ),
        ("no name, at all", "backbone no name, at all is no local folder"),
    ],
)
def test_what_is_not_there_is_asked_for_in_a_sentence(name: str, words: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=words) as caught:
        pretrained(name)
    assert "\n" not in str(caught.value)


def test_folders_that_hold_no_such_transformer(transformer_folder, tmp_path: Path):
    with pytest.raises(ValueError, match=f"folder {tmp_path} should hold a transformer's config.json"):
        pretrained(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ValueError, match="is a model of the type 'clip', expected one of vit, dinov2"):
        pretrained(str(tmp_path))
    folder = transformer_folder("vit")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ValueError, match=f"folder {tmp_path} should hold a transformer's config.json and model.safe"):
        pretrained(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000])
    with pytest.raises(ValueError, match=f"folder {tmp_path} should hold"):
        pretrained(str(tmp_path))
    tensors = load_file(folder / "model.safetensors")
    del tensors[QUERY["vit"]]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"is a vit without the weights .*3"):
        pretrained(str(tmp_path))


def test_a_family_that_the_installed_transformers_lacks(transformer_folder, tmp_path: Path, monkeypatch):
    folder = transformer_folder("dinov3_vit")
    save(critic_on(folder), tmp_path / "critic.safetensors", {})
    monkeypatch.setitem(FAMILIES, "dinov3_vit", ("FutureConfig", "FutureModel", {}))
    with pytest.raises(
        CriticFileError, match=r"cannot be built here, because tests/dinov3_vit needs a newer transform"
    ):
        load(tmp_path / "critic.safetensors")
    with pytest.raises(ValueError, match=r"needs a newer transformers than .*: update transformers"):
        pretrained(str(folder))


def test_names_of_the_hubs_files_are_read_whatever_transformers_calls_its_modules():
    """The whole layout of a ViT as the hub has it, written out here and not by transformers."""
    shape = {"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"intermediate_size": 12, "image_size": 16, "patch_size": 8}
    sizes = {"embeddings.cls_token": (1, 1, 8), "embeddings.position_embeddings": (1, 5, 8)}
    sizes |= {"embeddings.patch_embeddings.projection.weight": (8, 3, 8, 8)}
    sizes |= {"embeddings.patch_embeddings.projection.bias": (8,)}
    parts = {"layernorm_before": (8,), "layernorm_after": (8,), "intermediate.dense": (12, 8), "output.dense": (8, 12)}
    parts |= {f"attention.attention.{part}": (8, 8) for part in ("query", "key", "value")}
    parts |= {"attention.output.dense": (8, 8)}
    for part, size in {
        **{f"encoder.layer.{n}.{p}": s for n in (0, 1) for p, s in parts.items()},
        "layernorm": (8,),
    }.items():
        sizes |= {f"{part}.weight": size, f"{part}.bias": size[:1]}
    weights = {name: torch.randn(size).half() for name, size in sizes.items()}
    critic = Critic(CriticConfig("vit", 16, transformer=Transformer("tiny", shape, places=(0, 1, 2))))
    critic.backbone.fill(weights)
    written = critic.backbone.weights()
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[name], weights[name]) for name in weights)
