"""The choice of the decoder, and the tiny one, seen in the trace of guided runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from architectures import Traced, sample
from comfy_graphs import GraphBuilder, told
from guidance_graphs import differ, guidance

from devtools.client import GraphFailed
from devtools.paths import CHECKPOINT
from devtools.server import ComfyServer


@pytest.fixture
def tiny_decoder(server: ComfyServer) -> Iterator[Path]:
    """TAESD's decoder where ComfyUI looks for SD1.5's; the stand-in checkpoint has one."""
    part = "first_stage_model.taesd_decoder."
    weights = {
        key.removeprefix(part): value
        for key, value in safetensors.torch.load_file(CHECKPOINT).items()
        if key.startswith(part)
    }
    folder = server.base / "models" / "vae_approx"
    folder.mkdir(exist_ok=True)
    file = folder / "taesd_decoder.safetensors"
    safetensors.torch.save_file(weights, file)
    yield file
    file.unlink()


def test_auto_takes_the_tiny_decoder_where_its_file_is(graph: GraphBuilder, tiny_decoder: Path) -> None:
    traced = {
        (decoder, mode): Traced(graph, "sd15", guidance(graph, decoder=decoder, mode=mode))
        for decoder, mode in (("auto", "fast"), ("tiny", "fast"), ("vae", "fast"), ("tiny", "exact"))
    }
    run = graph.run()
    used = {choice: told(run, one.trace)["settings"]["decoder"] for choice, one in traced.items()}
    assert used == {
        ("auto", "fast"): "tiny",
        ("tiny", "fast"): "tiny",
        ("vae", "fast"): "vae",
        ("tiny", "exact"): "tiny",
    }
    latents = {choice: graph.saved(one.latent) for choice, one in traced.items()}
    assert torch.equal(latents["auto", "fast"], latents["tiny", "fast"])
    assert differ(latents["tiny", "fast"], latents["vae", "fast"])
    assert differ(latents["tiny", "exact"], latents["tiny", "fast"])


@pytest.mark.parametrize(("family", "name"), [("sd15", "taesd_decoder"), ("flux", "taef1_decoder")])
def test_tiny_without_its_file_is_refused_with_its_name(graph: GraphBuilder, family: str, name: str) -> None:
    sample(graph, family, guidance(graph, decoder="tiny"))
    with pytest.raises(GraphFailed, match=f"decoder is tiny, but models/vae_approx/ holds no {name}: put the file"):
        graph.run()
