"""ControlNet and T2I-Adapter files of the trainers in ComfyUI's own reader, against what the trainers' networks add."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from comfy_graphs import GraphBuilder
from diffusers import ControlNetModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from devtools.server import ComfyServer
from fairhands.adapters import control_file
from fairhands.adapters.control import Control
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.base_models import Text
from fairhands.base_models.shapes import SD15, SDXL, Shapes
from fairhands.base_models.stable_diffusion import StableDiffusion, timesteps
from tests.adapters.bases import hollow
from tests.adapters.controls import LEVELLED, levelled, moved, new, shown
from tests.base_models.checkpoints import write_zeros

# The smallest SDXL of which ComfyUI knows a ControlNet with attention.
SMALL_SDXL = replace(
    SDXL,
    unet=SDXL.unet
    | {
        "transformer_layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    },
)


@pytest.fixture
def folder(server: ComfyServer) -> Path:
    path = server.base / "models" / "controlnet"
    path.mkdir(exist_ok=True)
    return path


def told(graph: GraphBuilder, class_type: str, **inputs: str) -> dict[str, object]:
    node = graph.add("PreviewAny", source=[graph.add(class_type, **inputs), 0])
    return json.loads(graph.run().outputs[node]["text"][0])


def in_comfyui(
    graph: GraphBuilder, server: ComfyServer, folder: Path, control: Control, given: dict[str, Tensor]
) -> tuple[str, dict[str, Tensor]]:
    """The kind of network that ComfyUI takes the file for, and what that adds, by place."""
    name = f"{control.architecture}_{control.base.family}.safetensors"
    control_file.save(control, folder / name, {}, "pose")
    (server.base / "input").mkdir(exist_ok=True)
    save_file(given, server.base / "input" / "shown.safetensors")
    found = told(graph, "ProbeControl", control_net_name=name, shown="shown.safetensors", added="added.safetensors")
    assert found["said"] == []
    return str(found["kind"]), load_file(server.base / "output" / "added.safetensors")


def full_sized(shapes: Shapes) -> ControlNet:
    """A ControlNet with random weights beside a base without any."""
    base = hollow(shapes)
    base.device, base.dtype = torch.device("cpu"), torch.float32
    network = ControlNet.empty(base).to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            spread = 1.7 * weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.1
            weight.uniform_(-spread, spread)
    return ControlNet(base, cast(ControlNetModel, network))


def text_for(base: StableDiffusion) -> Text:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(2, 77, base.denoiser.config["cross_attention_dim"], generator=generator)  # pyright: ignore
    if base.family == "SD 1.5":
        return Text(states)
    sizes = torch.tensor([[128.0, 96.0, 8.0, 16.0, 128.0, 128.0]]).repeat(2, 1)
    return Text(states, torch.randn(2, 1280, generator=generator), sizes)


@pytest.mark.parametrize("shapes", [SD15, SMALL_SDXL], ids=["SD 1.5", "SDXL"])
def test_a_controlnet_adds_in_comfyui_what_it_adds_in_training(
    graph: GraphBuilder, server: ComfyServer, folder: Path, shapes: Shapes
) -> None:
    control = full_sized(shapes)
    network, base = cast(ControlNetModel, control.network), control.base
    noised, times = torch.randn(2, 4, 16, 16, generator=torch.manual_seed(2)), torch.tensor([0.2, 0.7])
    text = text_for(base)
    given = {"x": noised, "hint": shown(), "timesteps": timesteps(times), "context": text.states}
    if conditions := base.conditions(text):
        sizes = network.add_time_proj(conditions["time_ids"].flatten()).unflatten(0, (2, -1)).flatten(1)
        given["y"] = torch.cat([conditions["text_embeds"], sizes], dim=1)
    kind, found = in_comfyui(graph, server, folder, control, given)
    with torch.no_grad():
        added = control.added(noised, times, text, shown())
    assert kind == "ControlNet"
    assert added.middle is not None
    assert len(found) == len(added.skips) + 1
    expected = {f"output.{at:02}": skip for at, skip in enumerate(added.skips)} | {"middle.00": added.middle}
    for place, tensor in expected.items():
        assert float(tensor.std()) > 0.05
        torch.testing.assert_close(found[place], tensor, rtol=0, atol=1e-3 * float(tensor.abs().max()), msg=place)


def test_every_key_of_a_full_sized_sdxl_controlnet_is_known_to_comfyui(graph: GraphBuilder, folder: Path) -> None:
    network = ControlNet.empty(hollow(SDXL))
    write_zeros(folder / "full.safetensors", network.state_dict())
    assert told(graph, "ProbeControlKeys", control_net_name="full.safetensors") == {"said": [], "kind": "ControlNet"}


@pytest.mark.parametrize("family", LEVELLED)
def test_a_t2i_adapter_adds_in_comfyui_what_it_adds_in_training(
    graph: GraphBuilder, server: ComfyServer, folder: Path, family: str
) -> None:
    control = moved(new(T2IAdapter, levelled(family)))
    kind, found = in_comfyui(graph, server, folder, control, {"hint": shown()})
    unused = torch.zeros(0)
    with torch.no_grad():
        features = control.added(unused, unused, Text(unused), shown()).features
    assert kind == "T2IAdapter"
    # ComfyUI takes them from the end; SDXL's last one is for the middle.
    places = [f"input.{at:02}" for at in ((9, 6, 3, 0) if family == "SD 1.5" else (6, 4, 1))]
    places += ["middle.00"] if family == "SDXL" else []
    assert sorted(places) == sorted(found)
    for place, feature in zip(places, features, strict=True):
        torch.testing.assert_close(found[place], feature, rtol=0, atol=1e-3 * float(feature.abs().max()), msg=place)
