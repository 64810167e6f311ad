"""A graph is run in the page: what an artist sees while it runs, at its end, and where it fails."""

from pathlib import Path
from typing import Any

import pytest
from comfy_page import ComfyPage

from devtools import graph
from devtools.paths import ROOT
from devtools.server import ComfyServer

DEMO = ROOT / "workflows" / "mannequin_demo.json"
# What the demonstration is cut down to, so that it takes seconds: title of the node, its widget's place, the value.
SMALLER = (("Eight hands", 2, 2), ("Steps", 0, 6))


def small_demo() -> dict[str, Any]:
    """The mannequin demonstration with fewer pictures and steps."""
    saved = graph.load(DEMO)
    by_title = {node.get("title"): node for node in saved["nodes"]}
    for title, place, value in SMALLER:
        by_title[title]["widgets_values"][place] = value
    return saved


def hands(steps: int) -> dict[str, Any]:
    """Mannequin hands drawn by the Hand-Guided KSampler, in API format."""
    guided = {
        "seed": 1,
        "steps": steps,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
        "w": 4.0,
        "first_timestep": 800.0,
        "last_timestep": 300.0,
        "detection_threshold": 0.5,
        "download_missing": False,
    }
    nodes = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "mannequin_model.safetensors"}),
        "2": ("FairHandsMannequinPrompt", {"prompt": "hand"}),
        "3": ("EmptySD3LatentImage", {"width": 128, "height": 128, "batch_size": 1}),
        "4": ("FairHandsLoadHandDiscriminator", {"discriminator": "studio_critic.safetensors"}),
        "5": (
            "FairHandsHandGuidedKSampler",
            guided
            | {"model": ["1", 0], "vae": ["1", 2], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0]}
            | {"discriminator": ["4", 0]},
        ),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("PreviewImage", {"images": ["6", 0]}),
    }
    return {
        key: {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}
        for key, (class_type, inputs) in nodes.items()
    }


def test_the_mannequin_demonstration_shows_its_progress_then_hands_and_what_guidance_did(
    comfy_page: ComfyPage,
) -> None:
    comfy_page.load(small_demo())
    comfy_page.fit()
    comfy_page.run()
    progress = comfy_page.wait_for("progress")
    assert progress["max"] == 6
    comfy_page.shot("mannequin_demo_sampling")
    comfy_page.wait_for("execution_success")
    for title, pictures in (("Guided hands", 2), ("Unguided hands", 2), ("What guidance did", 1)):
        assert comfy_page.pictures(title, pictures) == pictures, title
    assert not comfy_page.our_errors()


def test_a_run_can_be_interrupted_while_sampling_and_the_page_runs_again(comfy_page: ComfyPage) -> None:
    comfy_page.load_prompt(hands(steps=2000))
    comfy_page.run()
    comfy_page.wait_for("progress")
    comfy_page.interrupt()
    comfy_page.wait_for("execution_interrupted", 30)
    comfy_page.set_widget("FairHandsHandGuidedKSampler", "steps", 2)
    comfy_page.run()
    comfy_page.wait_for("execution_success")
    assert comfy_page.pictures("PreviewImage", 1) == 1


def test_a_missing_weight_file_is_named_with_where_it_belongs_and_its_node_is_marked(comfy_page: ComfyPage) -> None:
    comfy_page.load_prompt(hands(steps=2))
    comfy_page.set_widget("FairHandsLoadHandDiscriminator", "discriminator", "gone.safetensors")
    comfy_page.run()
    message = comfy_page.message()
    assert "gone.safetensors is not in models/hand_discriminators/" in message
    assert "trainers.discriminator" in message
    assert comfy_page.marked() == ["FairHandsLoadHandDiscriminator"]


@pytest.fixture
def broken_discriminator(server: ComfyServer) -> Path:
    file = server.base / "models" / "hand_discriminators" / "broken.safetensors"
    file.write_bytes(b"no weights")
    return file


def test_a_weight_file_that_cannot_be_read_is_named_in_a_sentence(
    comfy_page: ComfyPage, broken_discriminator: Path
) -> None:
    comfy_page.load_prompt(hands(steps=2))
    comfy_page.set_widget("FairHandsLoadHandDiscriminator", "discriminator", broken_discriminator.name)
    comfy_page.run()
    message = comfy_page.message()
    assert "broken.safetensors is not a safetensors file" in message
    assert "Traceback" not in message
