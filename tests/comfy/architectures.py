"""Sample from a small model of each architecture, with anything put between model and sampler."""

from collections.abc import Callable
from typing import Any

from comfy_graphs import GraphBuilder, Link

Parts = dict[str, Link]
# Puts nodes between the model (or its conditioning) and the sampler: parts in, parts out.
Patch = Callable[[GraphBuilder, Parts], Parts]
# Called with graph, parts, latent and the KSampler's settings that differ from the usual ones; gives a LATENT.
Sampler = Callable[..., Link]

UNETS = ("sd15", "sd15_v", "sdxl")
TRANSFORMERS = ("sd3", "flux")
FAMILIES = UNETS + TRANSFORMERS
WITH_CONTROL_NET = ("sd15", "sdxl")
SIDE = 128


def sampled(
    graph: GraphBuilder,
    family: str,
    patch: Patch = lambda graph, parts: parts,
    *,
    sampler: Sampler = GraphBuilder.sample,
    pictures: tuple[str, ...] = (),
    noise_mask: Link | None = None,
    model_seed: int = 0,
    dtype: str = "float32",
    batch: int = 2,
    **changes: Any,
) -> tuple[Link, Parts]:
    """Add a run to the graph: 2 steps from noise, or `changes` of that; its latent, and what it was sampled with.

    It starts at the pictures (of the input folder), or at an empty batch of 128 px.
    """
    parts = patch(graph, model_parts(graph, family, model_seed, dtype))
    latent = graph.encode(parts, graph.batch(*pictures)) if pictures else empty_latent(graph, family, batch)
    if noise_mask is not None:
        latent = [graph.add("SetLatentNoiseMask", samples=latent, mask=noise_mask), 0]
    return sampler(graph, parts, latent, **({"steps": 2, "denoise": 1.0} | changes)), parts


def sample(graph: GraphBuilder, family: str, *patch: Patch, **settings: Any) -> str:
    """The name of the latent that `sampled` gives, saved."""
    return graph.save(sampled(graph, family, *patch, **settings)[0])


class Traced:
    """A run of a model that guidance nodes patched: names of its saved latent and mask, and the trace's node."""

    def __init__(self, graph: GraphBuilder, family: str, *patch: Patch, **settings: Any):
        latent, parts = sampled(graph, family, *patch, **settings)
        self.latent = graph.save(latent)
        self.trace, self.mask = graph.plot(parts["trace"], latent)


def model_parts(graph: GraphBuilder, family: str, seed: int = 0, dtype: str = "float32") -> Parts:
    """Model with weights of a dtype, VAE, two prompts and the ControlNet (of those in WITH_CONTROL_NET)."""
    node = graph.add("ProbeModel", family=family, seed=seed, dtype=dtype)
    names = ("model", "vae", "positive", "negative", "control_net")
    return {name: [node, slot] for slot, name in enumerate(names)}


def empty_latent(graph: GraphBuilder, family: str, batch: int = 2) -> Link:
    """The empty latents that an artist takes for the family."""
    node = "EmptySD3LatentImage" if family in TRANSFORMERS else "EmptyLatentImage"
    return [graph.add(node, width=SIDE, height=SIDE, batch_size=batch), 0]


def sample_custom(
    graph: GraphBuilder,
    parts: Parts,
    latent: Link,
    *,
    steps: int,
    denoise: float,
    seed: int = 7,
    cfg: float = 3.0,
    sampler_name: str = "euler",
    scheduler: str = "normal",
) -> Link:
    """SamplerCustomAdvanced with CFGGuider; the usual settings are those of `GraphBuilder.sample`."""
    prompts = {name: parts[name] for name in ("model", "positive", "negative")}
    sigmas = {"model": parts["model"], "scheduler": scheduler, "steps": steps, "denoise": denoise}
    node = graph.add(
        "SamplerCustomAdvanced",
        noise=[graph.add("RandomNoise", noise_seed=seed), 0],
        guider=[graph.add("CFGGuider", cfg=cfg, **prompts), 0],
        sampler=[graph.add("KSamplerSelect", sampler_name=sampler_name), 0],
        sigmas=[graph.add("BasicScheduler", **sigmas), 0],
        latent_image=latent,
    )
    return [node, 0]


def hand_guided(critic: str, **settings: Any) -> Sampler:
    """The Hand-Guided KSampler as the sampler."""

    def sampler(graph: GraphBuilder, parts: Parts, latent: Link, **changes: Any) -> Link:
        inputs = {name: parts[name] for name in ("model", "vae", "positive", "negative")}
        return [graph.sample_guided(inputs, latent, critic, **settings, **changes), 0]

    return sampler


def with_control_net(picture: str, strength: float = 1.0) -> Patch:
    """Show the picture to the family's ControlNet."""

    def patch(graph: GraphBuilder, parts: Parts) -> Parts:
        node = graph.add(
            "ControlNetApplyAdvanced",
            positive=parts["positive"],
            negative=parts["negative"],
            control_net=parts["control_net"],
            image=graph.batch(picture),
            strength=strength,
            start_percent=0.0,
            end_percent=1.0,
        )
        return parts | {"positive": [node, 0], "negative": [node, 1]}

    return patch


def model_patch(class_type: str, **inputs: Any) -> Patch:
    """A node that takes a MODEL as `model` and gives the patched one first."""
    return lambda graph, parts: parts | {"model": [graph.add(class_type, model=parts["model"], **inputs), 0]}


def visual_guidance(critic: str, **changes: Any) -> Patch:
    """Hand Visual Guidance; its trace is among the parts."""

    def patch(graph: GraphBuilder, parts: Parts) -> Parts:
        node = graph.guide_visually(parts, critic, **changes)
        return parts | {"model": [node, 0], "trace": [node, 1]}

    return patch


def lora_guidance(lora_name: str, **changes: Any) -> Patch:
    """Hand LoRA Guidance; its trace is among the parts."""

    def patch(graph: GraphBuilder, parts: Parts) -> Parts:
        node = graph.guide_by_lora(parts, lora_name, **changes)
        return parts | {"model": [node, 0], "trace": [node, 1]}

    return patch


def hand_mask(**changes: Any) -> Patch:
    """Hand Mask While Sampling; its trace is among the parts."""

    def patch(graph: GraphBuilder, parts: Parts) -> Parts:
        node = graph.mask_while_sampling(parts, **changes)
        return parts | {"model": [node, 0], "trace": [node, 1]}

    return patch


def in_order(*patches: Patch) -> Patch:
    """Several patches, the first one next to the model."""

    def patch(graph: GraphBuilder, parts: Parts) -> Parts:
        for one in patches:
            parts = one(graph, parts)
        return parts

    return patch
