"""Hand-Guided KSampler against the plain KSampler on the small stand-in checkpoint, in one real ComfyUI server."""

import itertools
import statistics
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from devtools import comfyui, environment
from devtools.client import ComfyClient
from devtools.paths import CHECKPOINT, CRITIC
from devtools.server import ComfyServer
from devtools.steps import StepFailed
from fairhands.data import mannequin

from .pairs import interleave

SIZE, STEPS, PAIRS = 256, 10, 7
MODEL, CRITIC_NODE, POSITIVE, NEGATIVE, PICTURE, LATENT, MASK = "1", "2", "3", "4", "5", "6", "7"
SAMPLER = "8"


def run() -> dict[str, float]:
    """Seconds and ratio of sampling a 256 px picture with a hand, all steps of the window guided."""
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("Nothing is set up yet: run `python3 dev.py bench`.")
    with tempfile.TemporaryDirectory() as base, ComfyServer(comfy_ui, prepared, Path(base)) as server:
        Image.fromarray(mannequin.draw(1, SIZE, kind="right").picture).save(server.base / "input" / "hand.png")
        client, seeds = ComfyClient(server.address), itertools.count()

        def seconds(guided: bool) -> float:
            return client.run(_graph(guided, next(seeds))).seconds[SAMPLER]

        pairs = interleave(lambda: seconds(True), lambda: seconds(False), PAIRS)
    return {
        "standin_seconds_guided": round(statistics.median(pairs.ours), 3),
        "standin_seconds_plain": round(statistics.median(pairs.baseline), 3),
        **pairs.figures("standin_ratio_fast"),
    }


def _graph(guided: bool, seed: int) -> dict[str, Any]:
    """The whole graph; only the sampler differs, so that ComfyUI keeps the rest from run to run."""
    sampling = {"seed": seed, "steps": STEPS, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"}
    inputs = sampling | {
        "denoise": 1.0,
        "model": [MODEL, 0],
        "positive": [POSITIVE, 0],
        "negative": [NEGATIVE, 0],
        "latent_image": [LATENT, 0],
    }
    if guided:
        guidance = {"w": 1.0, "first_timestep": 650.0, "last_timestep": 150.0, "detection_threshold": 0.3}
        inputs |= guidance | {
            "vae": [MODEL, 2],
            "discriminator": [CRITIC_NODE, 0],
            "start_mask": [MASK, 0],
            "download_missing": False,
        }
    detection = {"threshold": 0.3, "max_hands": 4, "min_size": 0.0, "tiles": 1, "shape": "hull", "padding": 0.15}
    return {
        MODEL: _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name),
        CRITIC_NODE: _node("FairHandsLoadHandDiscriminator", discriminator=CRITIC.name),
        POSITIVE: _node("CLIPTextEncode", clip=[MODEL, 1], text="a hand"),
        NEGATIVE: _node("CLIPTextEncode", clip=[MODEL, 1], text="malformed"),
        PICTURE: _node("LoadImage", image="hand.png"),
        LATENT: _node("VAEEncode", pixels=[PICTURE, 0], vae=[MODEL, 2]),
        MASK: _node(
            "FairHandsHandDetectionMask",
            image=[PICTURE, 0],
            dilation=0,
            feather=0,
            download_missing=False,
            **detection,
        ),
        SAMPLER: _node("FairHandsHandGuidedKSampler" if guided else "KSampler", **inputs),
        "9": _node("SaveLatent", samples=[SAMPLER, 0], filename_prefix="bench"),
    }


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
