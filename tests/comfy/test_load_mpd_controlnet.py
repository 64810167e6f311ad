"""Load MPD ControlNet: what it loads, shows and refuses. What the networks add is held in test_control_files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder, told
from safetensors.torch import save_file

from devtools.client import GraphFailed, GraphRefused
from devtools.server import ComfyServer
from fairhands.adapters import control_file
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.base_models.shapes import SD15
from tests.adapters.bases import hollow
from tests.adapters.controls import LEVELLED, levelled, new
from tests.base_models.checkpoints import write_zeros

MADE_BY = {
    "command": "python -m trainers.mpd_controlnet",
    "seed": 0,
    "steps": 51000,
    "base": "mine.safetensors",
    "objectives": ["global", "face", "hand"],
    "strategy": "mpd",
}
TRAINED = ["objectives: global, face, hand, weighed by mpd", "trained: 51000 steps, seed 0, by trainers.mpd_controlnet"]


@pytest.fixture
def folder(server: ComfyServer) -> Path:
    path = server.base / "models" / "controlnet"
    path.mkdir(exist_ok=True)
    return path


def load(graph: GraphBuilder, name: str) -> tuple[list[str], Any]:
    """The lines that the node shows, and what was loaded: its class, and whether it averages over the picture."""
    node = graph.add("FairHandsLoadMPDControlNet", control_net_name=name)
    report = graph.add("PreviewAny", source=[node, 1])
    kind = graph.add("PreviewAny", source=[graph.add("ProbeControlNet", control_net=[node, 0]), 0])
    run = graph.run()
    (text,) = run.outputs[node]["text"]
    assert run.outputs[report]["text"] == [text]
    return text.splitlines(), told(run, kind)


@pytest.mark.parametrize("family", LEVELLED)
def test_a_t2i_adapter_of_ours_is_loaded_and_says_what_it_is(graph: GraphBuilder, folder: Path, family: str) -> None:
    name = f"mpd_t2i_{family}.safetensors"
    control_file.save(new(T2IAdapter, levelled(family)), folder / name, MADE_BY, "depth")
    lines, loaded = load(graph, name)
    assert lines == ["kind: T2I-Adapter", f"base: {family} (mine.safetensors)", "conditioning: depth", *TRAINED]
    assert loaded == ["T2IAdapter", False]


def test_a_controlnet_of_ours_is_loaded_by_whatever_name(graph: GraphBuilder, folder: Path) -> None:
    """By a name with this ending ComfyUI would average what it adds over the picture."""
    made_by = json.dumps(MADE_BY | {"base_family": "SD 1.5"})
    texts = {"kind": "fairhands controlnet", "conditioning": "pose", "made_by": made_by}
    weights = ControlNet.empty(hollow(SD15)).state_dict()
    write_zeros(folder / "pose_shuffle.safetensors", weights, texts)
    lines, loaded = load(graph, "pose_shuffle.safetensors")
    assert lines == ["kind: ControlNet", "base: SD 1.5 (mine.safetensors)", "conditioning: pose", *TRAINED]
    assert loaded == ["ControlNet", False]


def test_another_trainers_file_is_loaded_as_comfyuis_own_loader_does(graph: GraphBuilder, folder: Path) -> None:
    network = new(T2IAdapter, levelled("SD 1.5")).network
    name = "theirs.safetensors"
    save_file({key: weight.detach().contiguous() for key, weight in network.state_dict().items()}, folder / name)
    lines, loaded = load(graph, name)
    assert lines == ["kind: T2I-Adapter", "base: unknown", "trained: by another trainer than FairHands'"]
    assert loaded == ["T2IAdapter", False]


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (
            "lora_unet_x.lora_down.weight",
            r"is a LoRA, expected a ControlNet or a T2I-Adapter \(\.safetensors\): choose",
        ),
        ("model.diffusion_model.out.2.weight", "is a checkpoint of a base model, expected a ControlNet"),
        ("something", r"is a safetensors file of another kind .* that ComfyUI does not know, expected a ControlNet"),
        ("controlnet_cond_embedding.conv_in.weight", r"is a ControlNet that ComfyUI cannot read \(.+\), expected"),
    ],
)
def test_another_file_is_refused_in_a_sentence(graph: GraphBuilder, folder: Path, tensors: str, sentence: str) -> None:
    save_file({tensors: torch.zeros(1)}, folder / "wrong.safetensors")
    with pytest.raises(GraphFailed, match=rf"wrong\.safetensors {sentence}") as caught:
        load(graph, "wrong.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "found"), [(b"", "is empty"), (b"PK\x03\x04pickled", "is a pickled PyTorch file")])
def test_a_file_that_is_no_safetensors_is_refused(
    graph: GraphBuilder, folder: Path, content: bytes, found: str
) -> None:
    (folder / f"broken_{len(content)}.pth").write_bytes(content)
    with pytest.raises(GraphFailed, match=rf"broken_{len(content)}\.pth {found}"):
        load(graph, f"broken_{len(content)}.pth")


def test_a_file_that_is_not_there_is_named_with_its_folder(graph: GraphBuilder) -> None:
    with pytest.raises(GraphRefused, match=r"control_net_name is 'gone\.safetensors', which is not in models/contro"):
        load(graph, "gone.safetensors")


def test_a_replaced_file_is_loaded_again(graph: GraphBuilder, folder: Path) -> None:
    control = new(T2IAdapter, levelled("SD 1.5"))
    for conditioning in ("pose", "depth"):
        control_file.save(control, folder / "replaced.safetensors", {}, conditioning)
        graph.prompt.clear()
        assert load(graph, "replaced.safetensors")[0][2] == f"conditioning: {conditioning}"
