"""The LoRA's file: written, read back, and read by diffusers."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairhands.adapters import export
from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models.stable_diffusion import StableDiffusion, StableDiffusionXL
from fairhands.guidance.low_rank import LowRank, LowRankBranches
from fairhands.weight_files import WeightFileError
from tests.adapters.bases import CHOICES, FAMILIES, adapted, predicted, tiny

MADE_BY = {"command": "python -m trainers.hand_lora", "steps": 7}


@pytest.fixture
def adapter(tmp_path: Path) -> LoraAdapter:
    return adapted(tiny("mannequin", tmp_path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hand.safetensors"


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def rewritten(path: Path, change: Any) -> None:
    """The file with its tensors changed in place by a function."""
    tensors, texts = load_file(path), metadata(path)
    change(tensors)
    save_file(tensors, path, texts)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def pipeline(base: StableDiffusion) -> Any:
    """diffusers' own pipeline of the same networks."""
    networks = {"vae": base.vae, "unet": base.denoiser, "text_encoder": base.text_encoders[0]}
    words = {"scheduler": DDIMScheduler(clip_sample=False, steps_offset=1), "tokenizer": base.tokenizer}
    if isinstance(base, StableDiffusionXL):
        second = {"text_encoder_2": base.text_encoders[1], "tokenizer_2": base.tokenizer}
        return StableDiffusionXLPipeline(**networks, **words, **second, add_watermarker=False)
    return StableDiffusionPipeline(**networks, **words, safety_checker=None, feature_extractor=None)


@pytest.mark.parametrize("layers", CHOICES)
@pytest.mark.parametrize("family", ["SD 1.5", "SDXL"])
def test_diffusers_loads_the_file_and_predicts_the_same(family: str, layers: str, tmp_path: Path, path: Path) -> None:
    adapter = adapted(tiny(family, tmp_path / "base"), text_encoders=True, rank=3, alpha=2.0, layers=layers)
    expected = predicted(adapter.base)
    export.save(adapter, path, MADE_BY)

    plain = tiny(family, tmp_path / "base")
    assert isinstance(plain, StableDiffusion)
    without = predicted(plain)
    reader = pipeline(plain)
    reader.load_lora_weights(path)
    found = sum(1 for part in (plain.denoiser, *plain.text_encoders) for m in part.modules() if hasattr(m, "lora_A"))
    assert found == len(list(adapter.children()))
    assert relative(predicted(plain), expected) < 1e-3
    assert relative(predicted(plain) - without, expected - without) < 5e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_back_predicts_the_same(family: str, tmp_path: Path, path: Path) -> None:
    adapter = adapted(tiny(family, tmp_path / "base"), layers="all", rank=2, alpha=0.3)
    export.save(adapter, path, MADE_BY)
    again = LoraAdapter(tiny(family, tmp_path / "base"), adapter.settings)
    assert export.load(again, path) == MADE_BY
    assert relative(predicted(again.base), predicted(adapter.base)) < 1e-3
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in again.parameters())


def test_the_low_rank_branch_predicts_the_same(adapter: LoraAdapter, path: Path) -> None:
    """The file's pairs as guidance's own branches beside the layers of a plain model."""
    export.save(adapter, path, MADE_BY)
    tensors = load_file(path)
    plain = tiny("mannequin", path)
    named = {f"lora_transformer_{name.replace('.', '_')}": name for name, _ in plain.denoiser.named_modules()}
    branches = {}
    for name in {key.split(".")[0] for key in tensors}:
        down, up = (tensors[f"{name}.lora_{end}.weight"].float() for end in ("down", "up"))
        branches[named[name]] = [LowRank(down, up, float(tensors[f"{name}.alpha"]) / len(down))]
    attached = LowRankBranches(branches)
    attached.attach(plain.denoiser)
    with attached.on(torch.ones(2)):
        assert relative(predicted(plain), predicted(adapter.base)) < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_holds_lora_tensors_alone_in_half_precision(family: str, tmp_path: Path, path: Path) -> None:
    adapter = adapted(tiny(family, tmp_path / "base"), rank=2, alpha=0.3, layers="all")
    export.save(adapter, path, MADE_BY)
    tensors = load_file(path)
    for name, _ in adapter.named_children():
        assert tensors.pop(f"{name}.lora_down.weight").dtype == torch.float16
        assert tensors.pop(f"{name}.lora_up.weight").dtype == torch.float16
        assert tensors.pop(f"{name}.alpha") == torch.tensor(0.3)
    assert not tensors


@pytest.mark.parametrize(
    ("family", "version", "resolution", "prediction"),
    [
        ("SD 1.5", "sd_v1", "512x512", "epsilon"),
        ("SDXL", "sdxl_base_v1-0", "1024x1024", "epsilon"),
        ("mannequin", "fairhands_mannequin", "128x128", "flow"),
    ],
)
def test_the_metadata_says_what_it_is_and_what_made_it(
    tmp_path: Path, path: Path, family: str, version: str, resolution: str, prediction: str
) -> None:
    adapter = adapted(tiny(family, tmp_path / "base"), rank=8, alpha=2.0, layers="all")
    export.save(adapter, path, MADE_BY)
    texts = metadata(path)
    assert texts["ss_v2"] == "False"
    assert texts["ss_base_model_version"] == version
    assert texts["ss_network_module"] == "networks.lora"
    assert (texts["ss_network_dim"], texts["ss_network_alpha"]) == ("8", "2.0")
    convolutions = {} if family == "mannequin" else {"conv_dim": "8", "conv_alpha": "2.0"}
    assert json.loads(texts["ss_network_args"]) == convolutions
    assert texts["modelspec.architecture"].endswith("/lora")
    assert texts["modelspec.title"] == "hand"
    assert texts["modelspec.resolution"] == resolution
    assert texts["modelspec.prediction_type"] == prediction
    assert json.loads(texts["made_by"]) == MADE_BY


def test_the_same_weights_give_the_same_bytes(adapter: LoraAdapter, path: Path) -> None:
    export.save(adapter, path, MADE_BY)
    first = path.read_bytes()
    export.save(adapter, path, MADE_BY)
    assert path.read_bytes() == first


def test_the_settings_are_in_the_file(tmp_path: Path, path: Path) -> None:
    for text_encoders in (False, True):
        base = tiny("SD 1.5", tmp_path / "base")
        made = adapted(base, text_encoders, rank=5, alpha=2.5, dropout=0.1, layers="cross_attention")
        export.save(made, path, MADE_BY)
        assert export.settings_of(path) == (made.settings, text_encoders)


def test_a_weight_that_half_precision_does_not_hold_is_not_saved(adapter: LoraAdapter, path: Path) -> None:
    weight = adapter.get_parameter("lora_transformer_transformer_blocks_0_attn_to_q.lora_up.weight")
    with torch.no_grad():
        weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"attn_to_q\.lora_up\.weight should be finite in torch\.float16"):
        export.save(adapter, path, MADE_BY)
    assert not path.exists()
    export.save(adapter, path, MADE_BY, dtype=torch.float32)


def test_a_full_disk_leaves_the_earlier_file(adapter: LoraAdapter, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export.save(adapter, path, MADE_BY)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export.save(adapter, path, {"steps": 8})
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_file_of_others_that_has_no_alpha_is_as_strong_as_its_rank_says(tmp_path: Path, path: Path) -> None:
    settings = {"rank": 4, "alpha": 4.0}
    made = adapted(tiny("mannequin", tmp_path), **settings)
    export.save(made, path, {})

    def without_alpha(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("alpha")]:
            del tensors[name]

    rewritten(path, without_alpha)
    again = LoraAdapter(tiny("mannequin", tmp_path), LoraSettings.model_validate(settings))
    export.load(again, path)
    assert relative(predicted(again.base), predicted(made.base)) < 1e-3


NAME = "lora_transformer_transformer_blocks_0_attn_to_q"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(f"{NAME}.lora_up.weight"), rf"{NAME}\.lora_up\.weight is not in the file"),
        (
            lambda tensors: tensors.update({"lora_unet_x.lora_up.weight": torch.zeros(1)}),
            r"lora_unet_x\.lora_up\.weight is not in the adapter",
        ),
        (
            lambda tensors: tensors.update({f"{NAME}.lora_down.weight": torch.zeros(8, 192)}),
            rf"{NAME}\.lora_down\.weight is \[8, 192\], expected \[4, 192\]: the rank or the base is another",
        ),
        (
            lambda tensors: tensors.update({f"{NAME}.alpha": torch.tensor(2.0)}),
            f"{NAME} has alpha 2, expected 1",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused_and_the_adapter_stays_as_it_was(
    adapter: LoraAdapter, path: Path, change: Any, message: str
) -> None:
    export.save(adapter, path, MADE_BY)
    rewritten(path, change)
    before = {name: weight.clone() for name, weight in adapter.state_dict().items()}
    with pytest.raises(WeightFileError, match=f"hand.safetensors is no LoRA for this adapter: {message}"):
        export.load(adapter, path)
    assert all(torch.equal(weight, before[name]) for name, weight in adapter.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 a pickle"])
def test_a_file_that_is_none_is_refused(adapter: LoraAdapter, path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    for read in (lambda: export.load(adapter, path), lambda: export.settings_of(path)):
        with pytest.raises(WeightFileError, match=r"cannot be read as safetensors .*, expected a LoRA"):
            read()


def test_the_settings_of_a_strangers_file_are_not_known(path: Path) -> None:
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(1, 1)}, path)
    with pytest.raises(WeightFileError, match="was not written by a trainer of FairHands"):
        export.settings_of(path)
