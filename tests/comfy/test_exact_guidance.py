"""Exact guidance: the gradient through the model, with what ComfyUI and others add to it."""

import json
import urllib.request
from typing import Any

import pytest
import torch
from architectures import (
    FAMILIES,
    SIDE,
    Parts,
    Patch,
    Traced,
    empty_latent,
    in_order,
    model_parts,
    model_patch,
    sample,
    with_control_net,
)
from comfy_graphs import GraphBuilder, Link, told
from guidance_graphs import ALWAYS, CRITIC, MODES, differ, guidance, hand_lora, loaded, start_mask, write_lora

from devtools.client import ComfyClient, GraphFailed
from devtools.server import ComfyServer

PAG = model_patch("PerturbedAttentionGuidance", scale=3.0)
RESCALE = model_patch("RescaleCFG", multiplier=0.7)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_through_a_model_is_that_of_finite_differences(graph: GraphBuilder, family: str) -> None:
    """Flux and SD3 overwrite what autograd saved."""
    parts = model_parts(graph, family)
    inputs = {key: parts[key] for key in ("model", "positive", "negative")}
    node = graph.add("ProbeGradient", **inputs, latent=empty_latent(graph, family, batch=1), sigma=0.7)
    shown = graph.add("PreviewAny", source=[node, 0])
    found = told(graph.run(), shown)
    assert found["autograd"] == pytest.approx(found["differences"], rel=0.01)


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


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("detach", "mode is exact, which needs a gradient through the model, but this model gives none"),
        ("scale", "mode is exact, which needs a gradient through the model, but a patch of it holds tensors"),
    ],
)
def test_a_patch_that_no_gradient_passes_is_refused_by_exact_guidance_alone(
    graph: GraphBuilder, kind: str, sentence: str
) -> None:
    patch = model_patch("ProbePatch", kind=kind)
    sample(graph, "sd15", in_order(patch, guidance(graph, mode="fast")), batch=1)
    graph.run()
    sample(graph, "sd15", in_order(patch, guidance(graph, mode="exact")), batch=1)
    with pytest.raises(GraphFailed, match=f"{sentence}.*choose mode fast"):
        graph.run()


def test_exact_guidance_goes_through_a_loaded_lora_which_comes_off_again(
    graph: GraphBuilder, server: ComfyServer
) -> None:
    lora = loaded(write_lora(server.base, hand_lora()))
    parts, latent = model_parts(graph, "sd15"), empty_latent(graph, "sd15", batch=1)

    def run(*patches: Patch) -> torch.Tensor:
        patched = in_order(*patches)(graph, parts)
        name = graph.save(graph.sample(patched, latent, steps=2, denoise=1.0))
        graph.run()
        return graph.saved(name)

    plain, with_lora = run(), run(lora)
    fast, exact = (run(lora, guidance(graph, mode=mode)) for mode in MODES)
    assert differ(exact, fast)
    assert differ(exact, with_lora)
    assert differ(with_lora, plain)
    # Guidance that is off makes ComfyUI sample anew.
    again = guidance(graph, w=0.0)
    assert torch.equal(run(again), plain)
    assert torch.equal(run(lora, again), with_lora)


def test_after_exact_guidance_and_after_all_models_were_unloaded_results_are_the_same(
    graph: GraphBuilder, client: ComfyClient
) -> None:
    parts, latent = model_parts(graph, "sd15"), empty_latent(graph, "sd15", batch=1)
    saved: list[list[torch.Tensor]] = []
    for threshold in (1.0, 0.99):  # another threshold alone makes ComfyUI run the nodes again
        node = graph.guide_visually(
            parts, CRITIC, mode="exact", start_mask=start_mask(graph), detection_threshold=threshold, **ALWAYS
        )
        guided = graph.save(graph.sample(parts | {"model": [node, 0]}, latent, denoise=1.0, steps=2))
        plain = graph.save(graph.sample(parts, latent, denoise=1.0, steps=2, cfg=2 + threshold))
        graph.run()
        saved.append([graph.saved(guided), graph.saved(plain)])
        free(client)
    again = graph.save(graph.sample(parts, latent, denoise=1.0, steps=2, cfg=3.0, scheduler="simple"))
    graph.run()
    assert torch.equal(saved[1][0], saved[0][0])
    assert not torch.equal(saved[0][0], saved[0][1])
    assert differ(graph.saved(again), saved[0][1])


def free(client: ComfyClient) -> None:
    """Have all models unloaded before the next but one graph runs."""
    body = json.dumps({"unload_models": True}).encode()
    request = urllib.request.Request(
        client.address + "/free", data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=60).close()
    client.run({"1": {"class_type": "ProbeMemory", "inputs": {}}, "2": preview(["1", 0])})


def preview(source: Link) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": source}}
