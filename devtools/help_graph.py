"""Graphs for the pictures of the help pages, with the mannequin model, its critic and its hand LoRA."""

import tempfile
from collections.abc import Sequence
from functools import cached_property, reduce
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .client import ComfyClient
from .sampling import MODEL, SIDE

CRITIC, LORA = "studio_critic.safetensors", "mannequin_hands.safetensors"
WINDOW = {"first_timestep": 800.0, "last_timestep": 300.0}
STEPS = 20
# Noises of one batch that come out malformed without guidance, each in its own way: a finger too few, a second thumb,
# a finger too many.
SEED, NOISES = 0, (0, 9, 20)

Link = list[Any]
Pictures = list[Image.Image]


class Graph:
    """A graph that is put together node by node; inputs that are not given have their defaults."""

    def __init__(self, client: ComfyClient, schemas: dict[str, Any]) -> None:
        self.client = client
        self.schemas = schemas
        self.nodes: dict[str, Any] = {}

    def add(self, class_type: str, **inputs: Any) -> str:
        """The new node's id."""
        node_id = str(len(self.nodes))
        self.nodes[node_id] = {"class_type": class_type, "inputs": {**self._defaults(class_type), **inputs}}
        return node_id

    def _defaults(self, class_type: str) -> dict[str, Any]:
        required = self.schemas[class_type]["input"].get("required", {})
        return {name: kind[1]["default"] for name, kind in required.items() if "default" in dict(*kind[1:])}

    def pictures(self, *links: Link) -> list[Pictures]:
        """Run; the pictures that each link carries."""
        saved = [self.add("SaveImage", images=link, filename_prefix="help") for link in links]
        outputs = self.client.run(self.nodes).outputs
        return [
            [Image.open(BytesIO(self.client.file(entry))).convert("RGB") for entry in outputs[node]["images"]]
            for node in saved
        ]

    def texts(self, *links: Link) -> list[str]:
        """Run; what each link carries, as text."""
        shown = [self.add("PreviewAny", source=link) for link in links]
        outputs = self.client.run(self.nodes).outputs
        return [outputs[node]["text"][0] for node in shown]

    @cached_property
    def checkpoint(self) -> str:
        return self.add("CheckpointLoaderSimple", ckpt_name=MODEL)

    @cached_property
    def critic(self) -> Link:
        return [self.add("FairHandsLoadHandDiscriminator", discriminator=CRITIC), 0]

    @property
    def model(self) -> Link:
        return [self.add("ModelSamplingSD3", model=[self.checkpoint, 0], shift=1.0), 0]

    def vae(self) -> dict[str, Link]:
        return {"vae": [self.checkpoint, 2]}

    def sampling(self, model: Link, prompt: str = "hand", noises: Sequence[int] = NOISES) -> dict[str, Any]:
        """The inputs of a KSampler, which samples the batch of these noises."""
        return {
            "model": model,
            "positive": [self.add("FairHandsMannequinPrompt", prompt=prompt), 0],
            "negative": [self.add("FairHandsMannequinPrompt", prompt="(nothing)"), 0],
            "latent_image": self.latent(noises),
            "seed": SEED,
            "steps": STEPS,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
        }

    def latent(self, noises: Sequence[int]) -> Link:
        """Empty latents that get these noises of a larger batch's."""
        batch = [self.add("EmptySD3LatentImage", width=SIDE, height=SIDE, batch_size=max(noises) + 1), 0]
        taken = [[self.add("LatentFromBatch", samples=batch, batch_index=noise, length=1), 0] for noise in noises]
        return reduce(lambda one, other: [self.add("LatentBatch", samples1=one, samples2=other), 0], taken)

    def decoded(self, latent: Link) -> Link:
        return [self.add("VAEDecode", samples=latent, **self.vae()), 0]

    def sampled(self, model: Link, **sampling: Any) -> Link:
        """What ComfyUI's KSampler makes of a model, decoded."""
        return self.decoded([self.add("KSampler", **self.sampling(model, **sampling)), 0])

    def visual(self, model: Link, **settings: Any) -> Link:
        guided = {"discriminator": self.critic, **self.vae(), **WINDOW, **settings}
        return [self.add("FairHandsHandVisualGuidance", model=model, **guided), 0]

    def textual(self, model: Link, **settings: Any) -> Link:
        return [
            self.add("FairHandsHandLoraGuidance", model=model, lora_name=LORA, **self.vae(), **WINDOW, **settings),
            0,
        ]

    def guided_sampler(self, model: Link, advanced: dict[str, object] | None = None, **settings: object) -> str:
        """The id of a Hand-Guided KSampler, or of the advanced one where inputs of it are given."""
        sampling = self.sampling(model)
        guidance = {"discriminator": self.critic, **self.vae(), **WINDOW, **settings}
        if advanced is None:
            return self.add("FairHandsHandGuidedKSampler", **sampling, **guidance)
        sampling["noise_seed"] = sampling.pop("seed")
        switches = {"add_noise": "enable", "return_with_leftover_noise": "disable", **advanced}
        return self.add("FairHandsHandGuidedKSamplerAdvanced", **sampling, **switches, **guidance)

    def custom(self, model: Link) -> Link:
        """What the custom sampler makes of a guided model, decoded."""
        sampling = self.sampling(model)
        guider = self.add("BasicGuider", model=model, conditioning=sampling["positive"])
        sigmas = self.add("BasicScheduler", model=model, scheduler=sampling["scheduler"], steps=STEPS)
        sampler = self.add(
            "FairHandsHandGuidedSamplerCustom",
            noise=[self.add("RandomNoise", noise_seed=sampling["seed"]), 0],
            guider=[guider, 0],
            sampler=[self.add("KSamplerSelect", sampler_name=sampling["sampler_name"]), 0],
            sigmas=[sigmas, 0],
            latent_image=sampling["latent_image"],
        )
        return self.decoded([sampler, 0])

    def uploaded(self, picture: np.ndarray) -> Link:
        """A picture, uint8 RGB, as the server's input."""
        with tempfile.NamedTemporaryFile(prefix="help_", suffix=".png") as file:
            Image.fromarray(picture).save(file, "png")
            file.flush()
            return [self.add("LoadImage", image=self.client.upload_image(Path(file.name))), 0]

    def as_picture(self, mask: Link) -> Link:
        """A mask in black and white."""
        return [self.add("MaskToImage", mask=mask), 0]
