"""What adapters' files say of themselves: ours as they are written, others' as far as they tell, wrong ones refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import zeros

from fairhands.adapters import control_file, export
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.description import (
    CONTROL_NET,
    LORA,
    T2I_ADAPTER,
    AdapterFileError,
    Description,
    read_description,
)
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.weight_header import Header
from tests.adapters.bases import FAMILIES, MANNEQUIN, adapted, tiny
from tests.adapters.controls import levelled, new

MADE_BY = {
    "command": "python -m trainers.mpd_lora --config mine.toml",
    "seed": 3,
    "steps": 20000,
    "base": "mine.safetensors",
    "objectives": ["global", "face", "hand"],
    "strategy": "mpd",
}
TRAINED = ["objectives: global, face, hand, weighed by mpd", "trained: 20000 steps, seed 3, by trainers.mpd_lora"]
DOWN = "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.safetensors"


def described(path: Path, *wanted: str) -> Description:
    return read_description(path, wanted or (LORA,), "train one")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_of_ours_says_all_of_itself(family: str, tmp_path: Path, path: Path) -> None:
    encoders = family != "mannequin"
    adapter = adapted(tiny(family, tmp_path / "base"), encoders, rank=3, alpha=1.5, layers="all")
    export.save(adapter, path, MADE_BY | {"base_family": family})
    description = described(path)
    assert description.is_ours
    assert description.family == family
    assert description.lines() == [
        f"base: {family} (mine.safetensors)",
        f"rank: 3, alpha 1.5, all layers{', text encoders too' if encoders else ''}",
        *TRAINED,
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_its_base_is_known_by_kohyas_metadata_too(family: str, tmp_path: Path, path: Path) -> None:
    export.save(adapted(tiny(family, tmp_path / "base")), path, {})
    texts = described(path).header.metadata
    for key in ("ss_base_model_version", "modelspec.architecture"):
        assert Description(Header({key: texts[key]}, {})).family == family


@pytest.mark.parametrize(("network", "kind"), [(ControlNet, CONTROL_NET), (T2IAdapter, T2I_ADAPTER)])
@pytest.mark.parametrize("family", ["SD 1.5", "SDXL"])
def test_a_control_of_ours_says_what_it_is_to_be_shown(family: str, network: Any, kind: str, path: Path) -> None:
    control_file.save(new(network, levelled(family)), path, MADE_BY, "depth")
    description = described(path, CONTROL_NET, T2I_ADAPTER)
    assert description.kind == kind
    assert description.family == family
    assert description.lines() == [f"base: {family} (mine.safetensors)", "conditioning: depth", *TRAINED]


def test_another_trainers_lora_says_what_it_says(path: Path) -> None:
    texts = {"ss_base_model_version": "sd_v2", "ss_network_alpha": "8", "ss_sd_model_name": "v2-1.ckpt"}
    save_file({DOWN: zeros(4, 8), DOWN.replace("proj_in", "proj_out"): zeros(16, 8)}, path, texts)
    assert described(path).family is None
    assert described(path).lines() == [
        "base: sd_v2 (v2-1.ckpt)",
        "rank: 4 and 16, alpha 8",
        "trained: by another trainer than FairHands'",
    ]


def test_a_file_that_says_nothing_is_unknown(path: Path) -> None:
    save_file({DOWN: zeros(4, 8)}, path)
    assert described(path).lines()[0] == "base: unknown"
    save_file({DOWN: zeros(4, 8)}, path, {"kind": "fairhands lora", "made_by": "{}"})
    assert described(path).lines() == ["base: unknown", "rank: 4", "objectives: unknown", "trained: unknown"]


@given(JSON, JSON, st.sampled_from(["fairhands lora", "fairhands controlnet", "fairhands t2i adapter", "", "other"]))
def test_whatever_a_file_says_is_told_in_short_lines(made_by: Any, settings: Any, kind: str) -> None:
    texts = {"kind": kind, "made_by": json.dumps(made_by), "settings": json.dumps(settings), "conditioning": "a\nb"}
    lines = Description(Header(texts, {DOWN: [4, 8]})).lines()
    assert all(line and len(line.splitlines()) == 1 and len(line) < 300 for line in lines)


@given(st.dictionaries(st.sampled_from(["base", "seed", "steps", "objectives", "strategy", "command"]), JSON))
def test_whatever_made_it_is_told_in_short_lines(made_by: dict[str, Any]) -> None:
    texts = {"kind": "fairhands lora", "made_by": json.dumps(made_by)}
    lines = Description(Header(texts, {DOWN: [4, 8]})).lines()
    assert all(line and len(line.splitlines()) == 1 and len(line) < 300 for line in lines)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", "null", "[" * 100_000])
def test_what_is_no_table_says_nothing(text: str) -> None:
    assert Description(Header({"made_by": text}, {})).made_by == {}


@pytest.mark.parametrize(
    ("names", "texts", "found"),
    [
        (["zero_convs.0.0.weight"], {}, "a ControlNet"),
        (["x"], {"kind": "fairhands t2i adapter"}, "a T2I-Adapter"),
        (["x"], {"fairhands.kind": "critic"}, "a file of the kind 'critic'"),
    ],
)
def test_a_file_of_another_kind_is_refused(names: list[str], texts: dict[str, str], found: str, path: Path) -> None:
    save_file({name: zeros(1) for name in names}, path, texts)
    with pytest.raises(AdapterFileError) as caught:
        described(path)
    assert str(caught.value) == f"some.safetensors is {found}, expected a LoRA (.safetensors): train one."


def test_a_lora_is_no_controlnet(path: Path) -> None:
    save_file({DOWN: zeros(4, 8)}, path)
    with pytest.raises(AdapterFileError, match=r"is a LoRA, expected a ControlNet or a T2I-Adapter \(.safetensors\):"):
        described(path, CONTROL_NET, T2I_ADAPTER)
    with pytest.raises(AdapterFileError, match="is a checkpoint of a base model, expected a LoRA"):
        described(MANNEQUIN)


def test_a_file_of_an_unknown_kind_is_let_through(path: Path) -> None:
    save_file({"something": zeros(1)}, path)
    assert described(path).lines()[0] == "base: unknown"


@pytest.mark.parametrize(("content", "found"), [(None, "not there"), (b"", "empty"), (b"PK\x03\x04-----", "a pickled")])
def test_what_is_no_weight_file_is_refused(content: bytes | None, found: str, path: Path) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdapterFileError, match=f"some.safetensors is {found}.*, expected a LoRA"):
        described(path)


def test_reading_needs_nothing_that_an_artists_comfyui_lacks() -> None:
    lacking = ("diffusers", "peft", "pydantic", "accelerate")
    code = f"import sys; sys.modules |= dict.fromkeys({lacking}); import fairhands.adapters.description"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
