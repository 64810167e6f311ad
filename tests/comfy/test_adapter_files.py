"""LoRA files of the trainers in ComfyUI's own loader and in the pack's branches, against the trainers' prediction."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder, Link
from torch import Tensor

from devtools.server import ComfyServer
from fairhands.adapters import export
from fairhands.adapters.layers import denoiser_layers, text_encoder_layers
from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import load
from fairhands.base_models.shapes import SD15, SDXL, Shapes
from tests.adapters.bases import CHOICES, MANNEQUIN, adapted, hollow, moved
from tests.base_models.checkpoints import write_full_size

SIGMA = 0.6
# ComfyUI holds this layer's halves in the other order, which is no low-rank branch but a difference of weights.
SWAPPED = "joint_blocks.2.context_block.adaLN_modulation.1"

Save = Callable[[LoraAdapter], str]


@pytest.fixture
def save(server: ComfyServer, request: pytest.FixtureRequest) -> Save:
    """Write an adapter's file into the server's folder; its name."""

    def to_file(adapter: LoraAdapter) -> str:
        folder = server.base / "models" / "loras"
        folder.mkdir(exist_ok=True)
        name = f"adapter_{len(list(folder.iterdir()))}.safetensors"
        export.save(adapter, folder / name, {"test": request.node.name})
        return name

    return to_file


def mannequin_parts(graph: GraphBuilder) -> dict[str, Link]:
    """The shipped model, two prompts and an empty latent of two pictures."""
    prompts = [[graph.add("FairHandsMannequinPrompt", prompt=text), 0] for text in ("hand", "(nothing)")]
    latent = [graph.add("EmptySD3LatentImage", width=128, height=128, batch_size=2), 0]
    model = [graph.add("CheckpointLoaderSimple", ckpt_name=MANNEQUIN.name), 0]
    return {"model": model, "positive": prompts[0], "negative": prompts[1], "latent": latent}


def estimates(graph: GraphBuilder, parts: dict[str, Any], model: Link) -> tuple[str, str]:
    """Names of ComfyUI's clean estimates at SIGMA, for both prompts: without the pack's branches and with them."""
    shared = {key: parts[key] for key in ("positive", "negative", "latent")}
    node = graph.add("ProbePredict", model=model, sigma=SIGMA, unload=False, **shared)
    return graph.save([node, 0]), graph.save([node, 1])


def predicted(adapter: LoraAdapter, scale: float) -> Tensor:
    """The network's own prediction of what ProbePredict shows it, by the trainer's base with the adapter."""
    base = adapter.base
    times = torch.full((4,), SIGMA)
    text = base.encode_text(["hand", "hand", "", ""])
    with torch.no_grad(), adapter.scaled(scale):
        return base.predict(noised(), times, text)


def noised() -> Tensor:
    noise = torch.randn(2, 16, 16, 16, generator=torch.manual_seed(1))
    return torch.cat([noise, noise]) * SIGMA


def prediction(clean: Tensor) -> Tensor:
    """The network's prediction that an estimate was made of."""
    return (noised() - clean) / SIGMA


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("layers", CHOICES)
def test_comfyuis_loader_and_the_branches_predict_what_the_trainer_does(
    graph: GraphBuilder, server: ComfyServer, save: Save, layers: str
) -> None:
    adapter = moved(adapted(load(MANNEQUIN), rank=3, alpha=2.0, layers=layers), 1.0)
    name = save(adapter)
    parts = mannequin_parts(graph)
    hand = graph.add("ProbeHandLora", model=parts["model"], lora_name=name)
    told = graph.add("PreviewAny", source=[hand, 2])
    loader = graph.add("LoraLoaderModelOnly", model=parts["model"], lora_name=name, strength_model=1.0)
    without, branch = estimates(graph, parts, [hand, 0])
    merged, _ = estimates(graph, parts, [loader, 0])
    negative = graph.add("LoraLoaderModelOnly", model=parts["model"], lora_name=name, strength_model=-0.5)
    against, _ = estimates(graph, parts, [negative, 0])
    run = graph.run()

    read = json.loads(run.outputs[told]["text"][0])
    assert read["unmatched"] == []
    assert read["ranks"] == [3]
    kinds = [kind for several in read["paths"].values() for kind in several]
    assert len(kinds) == len(list(adapter.children()))
    assert {path for path in read["paths"] if "LowRank" not in read["paths"][path]} <= {SWAPPED}
    assert "lora key not loaded" not in server.log()

    plain, expected = predicted(adapter, 0), predicted(adapter, 1)
    assert relative(expected, plain) > 0.01
    assert relative(prediction(graph.saved(merged)) - plain, expected - plain) < 0.01
    assert relative(prediction(graph.saved(without)), plain) < 1e-3
    assert relative(prediction(graph.saved(branch)), expected) < 1e-3
    assert relative(prediction(graph.saved(merged)), expected) < 1e-3
    assert relative(prediction(graph.saved(against)), predicted(adapter, -0.5)) < 1e-3


@pytest.fixture(scope="module")
def checkpoints(server: ComfyServer) -> Path:
    folder = server.base / "models" / "checkpoints"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("layers", ["attention", "all"])
@pytest.mark.parametrize(("family", "shapes"), [("SD 1.5", SD15), ("SDXL", SDXL)])
def test_every_key_of_a_full_sized_lora_is_found_by_comfyui(
    graph: GraphBuilder, server: ComfyServer, checkpoints: Path, save: Save, family: str, shapes: Shapes, layers: Any
) -> None:
    checkpoint = checkpoints / f"full_{family}.safetensors"
    if not checkpoint.exists():
        write_full_size(checkpoint, shapes)
    base = hollow(shapes)
    denoiser = denoiser_layers(base.denoiser, family, layers)
    encoders = [path for encoder in base.text_encoders for path in text_encoder_layers(encoder, layers)]
    adapter = LoraAdapter(base, LoraSettings(rank=1, layers=layers), text_encoders=True)
    name = save(moved(adapter.to_empty(device="cpu")))
    node = graph.add("ProbeLoraKeys", ckpt_name=checkpoint.name, lora_name=name)
    told = graph.add("PreviewAny", source=[node, 0])
    read = json.loads(graph.run().outputs[told]["text"][0])
    assert read == {"model": len(denoiser), "text_encoders": len(encoders), "unmatched": [], "misshapen": []}
    assert "lora key not loaded" not in server.log()
