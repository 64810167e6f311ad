"""Build graphs for the server node by node, and read exact values out of their runs."""

import itertools
import json
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

    def mask(self, side: int, top: int, left: int, bottom: int, right: int, batch: int = 0) -> Link:
        """A MASK with a filled rectangle."""
        node = self.add(
            "ProbeMask", batch=batch, height=side, width=side, top=top, left=left, bottom=bottom, right=right
        )
        return [node, 0]

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

    def score_hands(self, image: Link, critic: str, **changes: Any) -> str:
        """Hand Score of pictures by a discriminator's file."""
        inputs = {
            "image": image,
            "discriminator": [self.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0],
            "image_score": "worst",
            "no_hand": "last",
            "threshold": 0.3,
            "max_hands": 4,
            "tiles": 1,
            "download_missing": False,
        }
        return self.add("FairHandsHandScore", **(inputs | changes))

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

    def guide_visually(self, parts: dict[str, Link], critic: str, **changes: Any) -> str:
        """Hand Visual Guidance of the parts' model, on a discriminator's file."""
        inputs: dict[str, Any] = {
            **{key: parts[key] for key in ("model", "vae")},
            "discriminator": [self.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0],
            "w": 2.0,
            "mode": "fast",
            "normalisation": "unit",
            "recurrence": 1,
            "weigh_by_score": False,
            "measure_effect": False,
        }
        return self.add("FairHandsHandVisualGuidance", **(inputs | _window("noise") | _looking() | changes))

    def guide_by_lora(self, parts: dict[str, Link], lora_name: str, **changes: Any) -> str:
        """Hand LoRA Guidance of the parts' model; without their VAE where `vae` is None."""
        inputs: dict[str, Any] = {key: parts[key] for key in ("model", "vae")}
        inputs |= {"lora_name": lora_name, "v": 1.0, "applies_to": "cond"}
        inputs |= _window("constant") | _looking() | changes
        return self.add(
            "FairHandsHandLoraGuidance", **{key: value for key, value in inputs.items() if value is not None}
        )

    def mask_while_sampling(self, parts: dict[str, Link], **changes: Any) -> str:
        """Hand Mask While Sampling of the parts' model."""
        inputs: dict[str, Any] = {
            **{key: parts[key] for key in ("model", "vae")},
            "max_hands": 4,
            "tiles": 1,
            "look_every": 1,
            "shape": "hull",
            "padding": 0.15,
            "feather": 0,
            "largest": 1.0,
            "remember": 0,
            "fallbacks": "",
        }
        return self.add("FairHandsHandMaskWhileSampling", **(inputs | _looking() | changes))

    def plot(self, trace: Link, after: Link) -> tuple[str, str]:
        """The trace that a run leaves whose latent is `after`: the node that `told` reads, and its saved mask."""
        node = self.add("FairHandsGuidanceTracePlot", trace=trace, after=after, width=600, height=400)
        return self.add("PreviewAny", source=[node, 1]), self.save([node, 2])


def told(run: Run, node: str) -> dict[str, Any]:
    """The JSON that a PreviewAny node shows."""
    return json.loads(run.outputs[node]["text"][0])


def _window(curve: str) -> dict[str, Any]:
    ends = {"first_timestep": 650.0, "last_timestep": 150.0, "window_in": "timesteps"}
    return ends | {"schedule": curve, "every": 1}


def _looking() -> dict[str, Any]:
    return {"decoder": "auto", "detection_threshold": 0.3, "download_missing": False}


def _sampling() -> dict[str, Any]:
    return {"seed": 7, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}
