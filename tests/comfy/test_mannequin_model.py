"""The shipped mannequin model in ComfyUI's own loaders and samplers."""

from pathlib import Path

import pytest
import torch
from comfy_graphs import GraphBuilder, Link
from PIL import Image

from devtools.client import GraphRefused
from devtools.server import ComfyServer
from fairhands.data.mannequin import draw
from fairhands.evaluation.fingers import VERDICTS, read
from fairhands.mannequin_world import file
from fairhands.mannequin_world.denoiser import sample
from fairhands.mannequin_world.prompts import HAND, encode

WEIGHTS = Path(__file__).parents[2] / "weights"
MODEL = "mannequin_model.safetensors"


def prompt(graph: GraphBuilder, text: str) -> Link:
    return [graph.add("FairHandsMannequinPrompt", prompt=text), 0]


def sampler_inputs(graph: GraphBuilder, checkpoint: str, count: int, text: str = "hand") -> dict[str, object]:
    return {
        "model": [checkpoint, 0],
        "positive": prompt(graph, text),
        "negative": prompt(graph, "(nothing)"),
        "latent_image": [graph.add("EmptySD3LatentImage", width=128, height=128, batch_size=count), 0],
        "seed": 5,
        "steps": 20,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }


def test_comfyui_samples_hands_from_the_shipped_file(graph: GraphBuilder) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=MODEL)
    latent = graph.add("KSampler", **sampler_inputs(graph, checkpoint, 8))
    name = graph.save([graph.add("VAEDecode", samples=[latent, 0], vae=[checkpoint, 2]), 0])
    graph.run()
    pictures = graph.saved(name).permute(0, 3, 1, 2)
    assert pictures.shape == (8, 3, 128, 128)
    verdicts = read(WEIGHTS / "finger_judge.safetensors").verdicts(pictures)
    assert int((verdicts != VERDICTS.index("no_hand")).sum()) >= 7


def test_comfyui_predicts_what_diffusers_does(graph: GraphBuilder) -> None:
    """The same noise, sampled by both, ends at the same latent."""
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=MODEL)
    latent = graph.add("KSampler", **sampler_inputs(graph, checkpoint, 1))
    name = graph.save([graph.add("VAEDecode", samples=[latent, 0], vae=[checkpoint, 2]), 0])
    graph.run()
    model = file.read(WEIGHTS / "checkpoints" / MODEL)
    noise = torch.randn(1, 16, 16, 16, generator=torch.manual_seed(5))
    with torch.no_grad():
        expected = model.autoencoder.decode(sample(model.denoiser, noise, encode(HAND)[None]))
    assert (graph.saved(name).permute(0, 3, 1, 2) - expected.clamp(0, 1)).abs().max() < 0.05


def test_a_picture_comes_back_from_the_vae(graph: GraphBuilder, server: ComfyServer) -> None:
    drawn = draw(3 * 10**12, 128, studio=True).picture
    Image.fromarray(drawn).save(server.base / "input" / "studio_hand.png")
    vae = [graph.add("CheckpointLoaderSimple", ckpt_name=MODEL), 2]
    picture = [graph.add("LoadImage", image="studio_hand.png"), 0]
    name = graph.save(
        [graph.add("VAEDecode", samples=[graph.add("VAEEncode", pixels=picture, vae=vae), 0], vae=vae), 0]
    )
    graph.run()
    error = (graph.saved(name)[0] - torch.from_numpy(drawn) / 255).square().mean()
    assert -10 * error.log10() > 24


def test_an_unknown_prompt_is_refused(graph: GraphBuilder) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=MODEL)
    latent = graph.add("KSampler", **sampler_inputs(graph, checkpoint, 1, "foot"))
    graph.save([graph.add("VAEDecode", samples=[latent, 0], vae=[checkpoint, 2]), 0])
    with pytest.raises(GraphRefused, match="prompt is 'foot'; the mannequin model knows hand, right hand"):
        graph.run()
