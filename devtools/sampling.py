"""Mannequin pictures sampled by a real ComfyUI, in batches of one graph each."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .client import ComfyClient, Run

Graph = dict[str, Any]

MODEL = "mannequin_model.safetensors"
SIDE = 128


@dataclass(frozen=True)
class Guidance:
    """Inputs of the guidance nodes beside model, VAE and critic; None without that node."""

    critic: str
    visual: Mapping[str, Any] | None = None
    textual: Mapping[str, Any] | None = None
    mask: Mapping[str, Any] | None = None
    everywhere: bool = False  # with a mask of the whole picture from the start


@dataclass(frozen=True)
class Plan:
    """What all settings share: the prompt, classifier-free guidance, steps, and the shift of the noise levels."""

    prompt: str
    cfg: float
    steps: int
    shift: float


@dataclass(frozen=True)
class Sampled:
    """Pictures, uint8 `[N, 3, H, W]`; the final masks, float `[N, H, W]` in 0..1, None unguided; seconds in all."""

    pictures: Tensor
    masks: Tensor | None
    seconds: float


def sample(client: ComfyClient, guidance: Guidance | None, plan: Plan, seed: int, count: int) -> Sampled:
    """`count` pictures of one batch; plain where there is no guidance; the same seed gives the same noise."""
    graph = _graph(guidance, plan, seed, count)
    run = client.run(graph)
    pictures = _images(client, run, "pictures")
    masks = _images(client, run, "masks")[:, 0] / 255 if guidance else None
    return Sampled(pictures, masks, run.seconds["sampler"] + run.seconds["decoded"])


def _graph(guidance: Guidance | None, plan: Plan, seed: int, count: int) -> Graph:
    graph = {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=MODEL),
        "shifted": _node("ModelSamplingSD3", model=["checkpoint", 0], shift=plan.shift),
        "positive": _node("FairHandsMannequinPrompt", prompt=plan.prompt),
        "negative": _node("FairHandsMannequinPrompt", prompt="(nothing)"),
        "latent": _node("EmptySD3LatentImage", width=SIDE, height=SIDE, batch_size=count),
        "sampler": _node(
            "KSampler",
            model=["shifted", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=seed,
            steps=plan.steps,
            cfg=plan.cfg,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "decoded": _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "pictures": _node("SaveImage", images=["decoded", 0], filename_prefix="sampled/picture"),
    }
    if guidance:
        _guide(graph, guidance)
    return graph


def _guide(graph: Graph, guidance: Guidance) -> None:
    """Put the guidance nodes between model and sampler, and save the final masks."""
    model = ["shifted", 0]
    shared: dict[str, Any] = {"vae": ["checkpoint", 2]}
    if guidance.everywhere:
        graph["everywhere"] = _node("SolidMask", value=1.0, width=SIDE, height=SIDE)
        shared["start_mask"] = ["everywhere", 0]
    if guidance.mask is not None:
        graph["mask"] = _node("FairHandsHandMaskWhileSampling", **shared, model=model, **guidance.mask)
        model = ["mask", 0]
    if guidance.visual is not None:
        graph["critic"] = _node("FairHandsLoadHandDiscriminator", discriminator=guidance.critic)
        shared_visual = {**shared, "model": model, "discriminator": ["critic", 0]}
        graph["visual"] = _node("FairHandsHandVisualGuidance", **shared_visual, **guidance.visual)
        model = ["visual", 0]
    if guidance.textual is not None:
        graph["textual"] = _node("FairHandsHandLoraGuidance", **shared, model=model, **guidance.textual)
        model = ["textual", 0]
    graph["sampler"]["inputs"]["model"] = model
    graph["trace"] = _node(
        "FairHandsGuidanceTracePlot", trace=[model[0], 1], after=["sampler", 0], width=300, height=200
    )
    graph["mask_pictures"] = _node("MaskToImage", mask=["trace", 2])
    graph["masks"] = _node("SaveImage", images=["mask_pictures", 0], filename_prefix="sampled/mask")


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def _images(client: ComfyClient, run: Run, node: str) -> Tensor:
    files = [client.file(entry) for entry in run.outputs[node]["images"]]
    arrays = [np.asarray(Image.open(BytesIO(file)).convert("RGB")) for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
