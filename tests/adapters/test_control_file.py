"""A ControlNet's and a T2I-Adapter's file: written, read back, and read by diffusers."""

import errno
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.adapter import T2IAdapter as T2IAdapterModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairhands.adapters import control_file, export
from fairhands.adapters.control import Control
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.t2i_adapter import T2IAdapter, shape
from fairhands.base_models import Added
from fairhands.weight_files import WeightFileError
from tests.adapters.bases import adapted, inputs, tiny
from tests.adapters.controls import KINDS, LEVELLED, levelled, moved, new, shown
from tests.base_models.checkpoints import unet_names

Kind = type[Control]
every = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("family", LEVELLED)
MADE_BY = {"command": "python -m trainers.mpd_controlnet", "steps": 7}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pose.safetensors"


def written(kind: Kind, family: str, path: Path, **options: Any) -> Control:
    control = moved(new(kind, levelled(family)))
    control_file.save(control, path, MADE_BY, "pose", **options)
    return control


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def added(control: Control) -> list[Tensor]:
    with torch.no_grad():
        found: Added = control.added(*inputs(control.base), shown())
    return [*found.skips, *found.features, *([] if found.middle is None else [found.middle])]


def in_authors_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ControlNet's weights under the names of the first published ones."""
    of_unet = {name: tensor for name, tensor in tensors.items() if not name.startswith("controlnet_")}
    renamed = unet_names(of_unet)
    last = 2 * sum(bool(re.match(r"controlnet_cond_embedding\.blocks\.\d+\.weight", name)) for name in tensors) + 2
    for name, tensor in tensors.items():
        if match := re.match(r"controlnet_down_blocks\.(\d+)\.(.*)", name):
            renamed[f"zero_convs.{match[1]}.0.{match[2]}"] = tensor
        elif match := re.match(r"controlnet_mid_block\.(.*)", name):
            renamed[f"middle_block_out.0.{match[1]}"] = tensor
        elif match := re.match(r"controlnet_cond_embedding\.blocks\.(\d+)\.(.*)", name):
            renamed[f"input_hint_block.{2 * int(match[1]) + 2}.{match[2]}"] = tensor
        elif match := re.match(r"controlnet_cond_embedding\.conv_(in|out)\.(.*)", name):
            renamed[f"input_hint_block.{0 if match[1] == 'in' else last}.{match[2]}"] = tensor
    return {f"control_model.{name}": tensor for name, tensor in renamed.items()}


@both
@every
def test_a_file_read_back_adds_the_same(kind: Kind, family: str, path: Path) -> None:
    control = written(kind, family, path, dtype=torch.float32)
    read = control_file.read(kind, control.base, path)
    assert all(torch.equal(own, other) for own, other in zip(added(control), added(read), strict=True))
    assert {weight.dtype for weight in read.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in read.parameters())


@both
def test_diffusers_reads_a_controlnet_and_gives_the_same_residuals(family: str, path: Path) -> None:
    control = written(ControlNet, family, path)
    control.network.save_config(path.parent)
    network = ControlNetModel.from_single_file(
        str(path), config=str(path.parent), local_files_only=True, torch_dtype=torch.float32
    )
    noised, times, text = inputs(control.base)
    conditions = control.base.conditions(text)
    with torch.no_grad():
        skips, middle = network(
            noised, times * 1000, text.states, shown(), added_cond_kwargs=conditions, return_dict=False
        )
    for own, other in zip(added(control), [*skips, middle], strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=2e-3 * float(own.abs().max()))


@both
def test_diffusers_reads_a_t2i_adapter_and_gives_the_same_features(family: str, path: Path) -> None:
    control = written(T2IAdapter, family, path)
    network = T2IAdapterModel(**shape(control.base))
    network.load_state_dict(load_file(path))
    with torch.no_grad():
        features = network(shown())
    for own, other in zip(added(control), features, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=2e-3 * float(own.abs().max()))


@pytest.mark.parametrize(
    ("kind", "family", "says"),
    [
        (ControlNet, "SD 1.5", ("fairhands controlnet", "stable-diffusion-v1/controlnet")),
        (T2IAdapter, "SDXL", ("fairhands t2i adapter", "stable-diffusion-xl-v1-base/t2i-adapter")),
    ],
)
def test_a_file_says_what_it_is_and_what_made_it(kind: Kind, family: str, says: tuple[str, str], path: Path) -> None:
    written(kind, family, path, title="Pose")
    texts = metadata(path)
    assert (texts["kind"], texts["modelspec.architecture"]) == says
    assert (texts["conditioning"], texts["base_family"], texts["modelspec.title"]) == ("pose", family, "Pose")
    assert json.loads(texts["made_by"]) == MADE_BY
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name / "pose.safetensors" for name in ("first", "second")]
    for one in paths:
        one.parent.mkdir()
        written(T2IAdapter, "SD 1.5", one)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("name", ["pose_shuffle", "pose_shuffle_fp16"])
def test_a_name_by_which_comfyui_averages_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="should not end in _shuffle"):
        written(T2IAdapter, "SD 1.5", tmp_path / f"{name}.safetensors")
    assert not any(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_written(path: Path) -> None:
    control = new(T2IAdapter, levelled("SD 1.5"))
    with torch.no_grad():
        next(control.parameters())[0] = 1e9
    with pytest.raises(ValueError, match=r"should be finite in torch.float16"):
        control_file.save(control, path, MADE_BY, "pose")
    assert not any(path.parent.iterdir())


def test_a_full_disk_leaves_the_older_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(T2IAdapter, "SD 1.5", path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(T2IAdapter, "SD 1.5", path, dtype=torch.float32)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@both
@every
def test_diffusers_own_folder_is_read(kind: Kind, family: str, tmp_path: Path) -> None:
    control = moved(new(kind, levelled(family)))
    control.network.save_pretrained(tmp_path / "folder")
    read = control_file.read(kind, control.base, tmp_path / "folder")
    assert all(torch.equal(own, other) for own, other in zip(added(control), added(read), strict=True))


def test_a_folder_may_hold_a_smaller_controlnet(tmp_path: Path) -> None:
    control = new(ControlNet, levelled("SDXL"))
    config = {**control.network.config, "down_block_types": ("DownBlock2D",) * 3, "mid_block_type": "UNetMidBlock2D"}
    ControlNetModel.from_config(config).save_pretrained(tmp_path / "small")
    read = control_file.read(ControlNet, control.base, tmp_path / "small")
    assert len(list(read.parameters())) < len(list(control.parameters()))
    assert [part.shape for part in added(read)] == [part.shape for part in added(control)]


def test_a_controlnet_in_its_authors_layout_is_read(path: Path) -> None:
    control = written(ControlNet, "SD 1.5", path, dtype=torch.float32)
    save_file(in_authors_layout(load_file(path)), path)
    read = control_file.read(ControlNet, control.base, path)
    assert all(torch.equal(own, other) for own, other in zip(added(control), added(read), strict=True))


def rewritten(path: Path, change: Any) -> None:
    tensors = load_file(path)
    save_file(change(tensors), path)


@pytest.mark.parametrize(
    ("kind", "change", "found"),
    [
        (T2IAdapter, lambda tensors: tensors, "is a T2I-Adapter, expected a ControlNet"),
        (ControlNet, lambda tensors: tensors | {"lora_controlnet": torch.zeros(1)}, "expected a ControlNet"),
        (ControlNet, lambda tensors: in_authors_layout(tensors) | {"difference": torch.zeros(1)}, "differences from"),
        (ControlNet, lambda tensors: tensors | {"conv_in.weight": torch.zeros(1)}, r"conv_in.weight is \[1\] there"),
        (ControlNet, lambda tensors: {k: v for k, v in tensors.items() if k != "conv_in.bias"}, "conv_in.bias is not"),
        (ControlNet, lambda tensors: {"down_blocks.0.x.weight": torch.zeros(1)}, "a U-Net or VAE of a base model"),
    ],
)
def test_another_file_is_refused_in_a_sentence(kind: Kind, change: Any, found: str, path: Path) -> None:
    written(kind, "SD 1.5", path)
    rewritten(path, change)
    with pytest.raises(WeightFileError, match=found) as refused:
        control_file.read(ControlNet, levelled("SD 1.5"), path)
    assert "\n" not in str(refused.value)


def test_a_t2i_adapter_in_its_authors_layout_is_refused(path: Path) -> None:
    written(T2IAdapter, "SD 1.5", path)
    rewritten(path, lambda tensors: {name.replace("adapter.body.0.resnets.0", "body.0"): tensors[name]
                                     for name in tensors if "resnets.0" in name})  # fmt: skip
    rewritten(path, lambda tensors: {name.removeprefix("adapter."): tensors[name] for name in tensors})
    with pytest.raises(WeightFileError, match="in its authors' layout, expected diffusers'"):
        control_file.read(T2IAdapter, levelled("SD 1.5"), path)


@every
def test_a_network_for_another_family_is_refused(kind: Kind, path: Path) -> None:
    control = written(kind, "SDXL", path)
    control.network.save_pretrained(path.parent / "folder")
    for place in (path, path.parent / "folder"):
        with pytest.raises(WeightFileError, match=rf"is no {kind.title} for this base \(SD 1.5\)"):
            control_file.read(kind, levelled("SD 1.5"), place)


def test_a_file_that_is_no_weights_is_refused(path: Path) -> None:
    with pytest.raises(WeightFileError, match="not there, expected a ControlNet in safetensors"):
        control_file.read(ControlNet, levelled("SD 1.5"), path)
    torch.save({}, path)
    with pytest.raises(WeightFileError, match="a pickled PyTorch file"):
        control_file.read(ControlNet, levelled("SD 1.5"), path)


def test_a_lora_is_refused(tmp_path: Path, path: Path) -> None:
    export.save(adapted(tiny("SD 1.5", tmp_path / "base")), path, MADE_BY)
    with pytest.raises(WeightFileError, match="is a LoRA, expected a T2I-Adapter"):
        control_file.read(T2IAdapter, levelled("SD 1.5"), path)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no usable ControlNetModel"):
        control_file.read(ControlNet, levelled("SD 1.5"), tmp_path)
