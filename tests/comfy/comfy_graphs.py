"""Build graphs for the server node by node, and read exact values out of their runs."""

import itertools
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from devtools.client import ComfyClient, Run
from devtools.paths import CHECKPOINT

Link = list[Any]


class GraphBuilder:
    """A graph in API format: `add` returns the node's id, `[id, slot]` is a link to one of its outputs."""

    names = itertools.count()

    def __init__(self, client: ComfyClient, base: Path):
        self.client = client
        self.base = base
        self.prompt: dict[str, Any] = {}

    def add(self, class_type: str, **inputs: Any) -> str:
        node = str(len(self.prompt) + 1)
        self.prompt[node] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}
        return node

    def save(self, link: Link) -> str:
        """Keep a value of the run: the name to read it by afterwards."""
        name = f"probe{next(self.names)}"
        self.add("ProbeSave", value=link, name=name)
        return name

    def run(self, **keywords: Any) -> Run:
        return self.client.run(self.prompt, **keywords)

    def saved(self, name: str) -> torch.Tensor:
        return safetensors.torch.load_file(self.base / "output" / f"{name}.safetensors")["value"]

    def batch(self, *pictures: str) -> Link:
        """An IMAGE batch of pictures from the input folder."""
        images = [[self.add("LoadImage", image=picture), 0] for picture in pictures]
        joined = images[0]
        for image in images[1:]:
            joined = [self.add("ImageBatch", image1=joined, image2=image), 0]
        return joined

    def find_hands(self, image: Link, **changes: Any) -> str:
        inputs = {
            "threshold": 0.3,
            "max_hands": 4,
            "min_size": 0.0,
            "tiles": 1,
            "shape": "hull",
            "padding": 0.1,
            "dilation": 0,
            "feather": 0,
            "download_missing": False,
        }
        return self.add("FairHandsHandDetectionMask", image=image, **(inputs | changes))

    def checkpoint(self) -> dict[str, Link]:
        """Model, VAE and two prompts of the stand-in checkpoint."""
        loader = self.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name)
        encode = [self.add("CLIPTextEncode", clip=[loader, 1], text=text) for text in ("a hand", "malformed")]
        return {"model": [loader, 0], "vae": [loader, 2], "positive": [encode[0], 0], "negative": [encode[1], 0]}

    def encode(self, parts: dict[str, Link], image: Link) -> Link:
        return [self.add("VAEEncode", pixels=image, vae=parts["vae"]), 0]

    def sample(self, parts: dict[str, Link], latent: Link, **changes: Any) -> Link:
        """The plain KSampler."""
        inputs = _sampling() | {key: parts[key] for key in ("model", "positive", "negative")}
        return [self.add("KSampler", latent_image=latent, **(inputs | changes)), 0]

    def sample_guided(self, parts: dict[str, Link], latent: Link, critic: str, **changes: Any) -> str:
        """Hand-Guided KSampler on a discriminator's file."""
        discriminator = [self.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0]
        guidance = {
            "w": 2.0,
            "first_timestep": 650.0,
            "last_timestep": 150.0,
            "detection_threshold": 0.3,
            "download_missing": False,
        }
        inputs = _sampling() | guidance | parts
        return self.add(
            "FairHandsHandGuidedKSampler", latent_image=latent, discriminator=discriminator, **(inputs | changes)
        )


def _sampling() -> dict[str, Any]:
    return {"seed": 7, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}
