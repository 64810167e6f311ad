"""Hand Visual Guidance with ComfyUI's own samplers, models and patches."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from architectures import (
    FAMILIES,
    SIDE,
    TRANSFORMERS,
    Parts,
    Patch,
    Traced,
    hand_guided,
    in_order,
    model_patch,
    sample,
    sample_custom,
    visual_guidance,
    with_control_net,
)
from comfy_graphs import GraphBuilder, Link, told

from devtools.client import ComfyClient, GraphFailed, GraphInterrupted, GraphRefused
from devtools.server import ComfyServer

CRITIC = "studio_critic.safetensors"
ALWAYS = {"first_timestep": 1000.0, "last_timestep": 0.0}
PAG = model_patch("PerturbedAttentionGuidance", scale=3.0)
RESCALE = model_patch("RescaleCFG", multiplier=0.7)


def start_mask(graph: GraphBuilder) -> Link:
    """The middle of the picture."""
    return graph.mask(SIDE, 32, 32, 96, 96)


def guidance(graph: GraphBuilder, **changes: Any) -> Patch:
    """Guidance at every step inside the start mask, whatever the detector finds."""
    settings = ALWAYS | {"start_mask": start_mask(graph), "detection_threshold": 1.0}
    return visual_guidance(CRITIC, **(settings | changes))


def differ(some: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether every image of a batch differs, and is finite."""
    assert some.isfinite().all()
    return all(not torch.equal(image, another) for image, another in zip(some, other, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_and_exact_guide_a_batch_of_two_and_w_0_is_the_plain_ksampler(graph: GraphBuilder, family: str) -> None:
    plain = sample(graph, family)
    off = sample(graph, family, guidance(graph, w=0.0, mode="exact"))
    fast, exact = (Traced(graph, family, guidance(graph, mode=mode)) for mode in ("fast", "exact"))
    run = graph.run()
    expected = graph.saved(plain)
    assert torch.equal(graph.saved(off), expected)
    assert differ(graph.saved(fast.latent), expected)
    assert differ(graph.saved(exact.latent), expected)
    assert differ(graph.saved(exact.latent), graph.saved(fast.latent))
    for traced, mode in ((fast, "fast"), (exact, "exact")):
        trace = told(run, traced.trace)
        assert trace["settings"]["mode"] == mode
        assert trace["settings"]["decoder"] == "vae"
        assert len(trace["steps"]) == 2
        assert all(image["gradient_rms"] > 0 for step in trace["steps"] for image in step["images"])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_usual_window_opens_at_its_timesteps(graph: GraphBuilder, family: str) -> None:
    """Flux counts its own timesteps from 0 to 1."""
    window = {"first_timestep": 650.0, "last_timestep": 150.0}
    traced = Traced(graph, family, guidance(graph, w=0.0, **window), steps=10)
    timesteps = [step["timestep"] for step in told(graph.run(), traced.trace)["steps"]]
    assert len(timesteps) >= 2
    assert all(150 <= timestep <= 650 for timestep in timesteps)
    assert timesteps == sorted(timesteps, reverse=True)


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_the_patched_model_gives_what_the_hand_guided_ksampler_does_with_any_sampler_node(
    graph: GraphBuilder, family: str
) -> None:
    settings = {**ALWAYS, "w": 2.0, "start_mask": start_mask(graph), "detection_threshold": 1.0}
    patch = visual_guidance(CRITIC, **settings)
    names = [
        sample(graph, family, sampler=hand_guided(CRITIC, **settings)),
        sample(graph, family, patch),
        sample(graph, family, patch, sampler=sample_custom),
    ]
    graph.run()
    expected, ksampler, custom = (graph.saved(name) for name in names)
    assert torch.equal(ksampler, expected)
    assert torch.equal(custom, expected)


@pytest.mark.parametrize("patch", ["control_net", "pag", "rescale", "noise_mask", "areas"])
def test_exact_guidance_goes_through_what_others_add_to_the_model(
    graph: GraphBuilder, hand_picture: str, patch: str
) -> None:
    patches = {"control_net": with_control_net(hand_picture), "pag": PAG, "rescale": RESCALE, "areas": areas}
    added = patches.get(patch, in_order())
    changes = {"noise_mask": start_mask(graph)} if patch == "noise_mask" else {}
    plain = sample(graph, "sd15", added, **changes)
    guided = [sample(graph, "sd15", in_order(added, guidance(graph, mode=mode)), **changes) for mode in MODES]
    graph.run()
    fast, exact = (graph.saved(name) for name in guided)
    assert differ(fast, graph.saved(plain))
    assert differ(exact, graph.saved(plain))
    assert differ(exact, fast)


MODES = ("fast", "exact")


def areas(graph: GraphBuilder, parts: Parts) -> Parts:
    """The prompt in a masked half, and another one everywhere."""
    half = graph.mask(SIDE, 0, 0, SIDE, SIDE // 2)
    masked = graph.add(
        "ConditioningSetMask", conditioning=parts["positive"], mask=half, strength=0.7, set_cond_area="default"
    )
    both = graph.add("ConditioningCombine", conditioning_1=[masked, 0], conditioning_2=parts["negative"])
    return parts | {"positive": [both, 0]}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_exact_guidance_goes_through_weights_of_other_types(graph: GraphBuilder, family: str, dtype: str) -> None:
    plain = sample(graph, family, dtype=dtype)
    exact = Traced(graph, family, guidance(graph, mode="exact"), dtype=dtype)
    trace = told(graph.run(), exact.trace)
    assert differ(graph.saved(exact.latent), graph.saved(plain))
    assert all(image["note"] == "" for step in trace["steps"] for image in step["images"])


def test_exact_guidance_leaves_the_model_as_it_was(graph: GraphBuilder, client: ComfyClient) -> None:
    """Also with a LoRA in its weights, and after everything was unloaded and loaded again."""
    parts = graph.checkpoint()
    latent = [graph.add("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1), 0]
    shape = {"denoise": 1.0, "steps": 2}
    names = []
    for threshold in (1.0, 0.99):
        plain = graph.sample(parts, latent, **shape, cfg=4.0 - threshold)
        node = graph.guide_visually(
            parts, CRITIC, mode="exact", start_mask=start_mask(graph), detection_threshold=threshold, **ALWAYS
        )
        guided = graph.sample(parts | {"model": [node, 0]}, latent, **shape)
        names.append((graph.save(guided), graph.save(graph.sample(parts, latent, **shape, seed=3)), plain))
        graph.run()
        client.post("/free", {"unload_models": True})
    (first, plain, _), (second, again, _) = names
    assert torch.equal(graph.saved(second), graph.saved(first))
    assert torch.equal(graph.saved(again), graph.saved(plain))
    assert not torch.equal(graph.saved(first), graph.saved(plain))
