"""Hand LoRA Guidance against ComfyUI's own LoRA loader, and together with other patches."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from architectures import (
    SIDE,
    Parts,
    Traced,
    empty_latent,
    hand_mask,
    in_order,
    lora_guidance,
    model_parts,
    model_patch,
    sample,
    visual_guidance,
    with_control_net,
)
from comfy_graphs import GraphBuilder, Link, told
from guidance_graphs import ALWAYS, CRITIC, LAYERS, everywhere, hand_lora, loaded, middle, write_lora
from test_lora_branch import Tensors, relative

from devtools.client import GraphFailed
from devtools.server import ComfyServer

Write = Callable[[Tensors], str]


@pytest.fixture
def write(server: ComfyServer) -> Write:
    """Write tensors as a file of the server's loras folder; its name."""
    return partial(write_lora, server.base)


@pytest.mark.parametrize("family", list(LAYERS))
def test_v_1_everywhere_is_the_loaded_lora_and_v_0_the_plain_model(
    graph: GraphBuilder, write: Write, family: str
) -> None:
    name, settings = write(hand_lora(family)), everywhere(graph)
    plain = sample(graph, family)
    off = sample(graph, family, lora_guidance(name, v=0.0, **settings))
    both = Traced(graph, family, lora_guidance(name, applies_to="both", **settings))
    cond = Traced(graph, family, lora_guidance(name, applies_to="cond", **settings), cfg=1.0)
    expected = [sample(graph, family, loaded(name), cfg=cfg) for cfg in (3.0, 1.0)]
    run = graph.run()
    usual, alone = (graph.saved(one) for one in expected)
    assert torch.equal(graph.saved(off), graph.saved(plain))
    assert relative(graph.saved(plain), usual) > 0.01
    assert relative(graph.saved(both.latent), usual) < 1e-4
    assert relative(graph.saved(cond.latent), alone) < 1e-4
    trace = told(run, both.trace)
    assert trace["settings"]["lora"] == name
    assert [step["lora_strength"] for step in trace["steps"]] == [1.0, 1.0]
    assert all(image["difference_rms"] > 0 for step in trace["steps"] for image in step["images"])


def test_cond_moves_by_the_prompts_own_difference(graph: GraphBuilder, write: Write) -> None:
    """With CFG it is neither that of both prompts nor multiplied with its scale."""
    name, settings = write(hand_lora()), everywhere(graph)
    shape = {"steps": 1}
    names = [
        sample(graph, "sd15", patch, cfg=cfg, **shape)
        for patch, cfg in (
            (in_order(), 3.0),
            (lora_guidance(name, **settings), 3.0),
            (in_order(), 1.0),
            (loaded(name), 1.0),
        )
    ]
    graph.run()
    plain, guided, cond, cond_with_lora = (graph.saved(one) for one in names)
    assert relative(guided - plain, cond_with_lora - cond) < 1e-3


def test_outside_the_mask_the_lora_changes_nothing(graph: GraphBuilder, write: Write) -> None:
    """Only the last step is guided, so that the model cannot carry a change out of the mask."""
    settings = middle(graph) | {"first_timestep": 700.0}
    guided = Traced(graph, "sd15", lora_guidance(write(hand_lora()), **settings))
    plain = sample(graph, "sd15")
    assert len(told(graph.run(), guided.trace)["steps"]) == 1
    changed = (graph.saved(guided.latent) != graph.saved(plain)).any(1)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    assert not changed[:, ~inside].any()
    assert changed[:, inside].all()


def test_guidance_nodes_give_the_same_in_each_order(graph: GraphBuilder, write: Write) -> None:
    name, window = write(hand_lora()), {"first_timestep": 1000.0, "last_timestep": 0.0}
    start = {"start_mask": graph.mask(SIDE, 32, 32, 96, 96)}
    visual = visual_guidance(CRITIC, **start, **window)
    lora, lora_alone = (lora_guidance(name, **window, **changes) for changes in ({}, {"vae": None}))
    mask, mask_with_start = hand_mask(), hand_mask(**start)
    visual_alone = visual_guidance(CRITIC, **window)
    orders = (
        (visual, lora_alone),
        (lora, visual),
        (visual, lora),
        (visual_alone, lora_guidance(name, vae=None, **start, **window)),
        (lora_guidance(name, **start, **window), visual_alone),
        (mask, visual, lora_alone),
        (mask_with_start, lora_alone, visual_alone),
        (visual, mask, lora_alone),
        (lora, visual, mask),
    )
    names = [sample(graph, "sd15", in_order(*order), batch=1, steps=1) for order in orders]
    others = [sample(graph, "sd15", *patch, batch=1, steps=1) for patch in ((visual,), ())]
    graph.run()
    first, *rest = (graph.saved(one) for one in names)
    assert first.isfinite().all()
    assert [torch.equal(other, first) for other in rest] == [True] * len(rest)
    assert not any(torch.equal(graph.saved(other), first) for other in others)


def test_the_exact_gradient_goes_through_a_step_with_the_lora(graph: GraphBuilder, write: Write) -> None:
    name, settings = write(hand_lora()), middle(graph)
    lora = lora_guidance(name, vae=None, **ALWAYS)
    guided = [
        Traced(graph, "sd15", in_order(visual_guidance(CRITIC, mode=mode, **settings), lora))
        for mode in ("fast", "exact")
    ]
    run = graph.run()
    fast, exact = (graph.saved(one.latent) for one in guided)
    assert exact.isfinite().all()
    assert not torch.equal(exact, fast)
    (step, *_) = told(run, guided[1].trace)["steps"]
    assert all(image["step_rms"] > 0 and image["difference_rms"] > 0 for image in step["images"])


def test_several_runs_of_a_loaded_model_all_have_the_lora(graph: GraphBuilder, write: Write) -> None:
    """Its hooks come off after each run."""
    name, parts = write(hand_lora()), model_parts(graph, "sd15")
    latent = empty_latent(graph, "sd15", batch=1)
    guided = lora_guidance(name, applies_to="both", **everywhere(graph))(graph, parts)
    with_lora = loaded(name)(graph, parts)
    runs = []
    for seed in (1, 2, 3):
        runs.append(
            [
                graph.save(graph.sample(one, latent, seed=seed, steps=2, denoise=1.0))
                for one in (guided, parts, with_lora)
            ]
        )
        graph.run()
    for found, plain, expected in ([graph.saved(name) for name in names] for names in runs):
        assert relative(found, expected) < 1e-4
        assert relative(plain, expected) > 0.01


def test_beside_a_control_net_it_is_the_loaded_lora_too(graph: GraphBuilder, write: Write, hand_picture: str) -> None:
    name, control = write(hand_lora()), with_control_net(hand_picture)
    guided = lora_guidance(name, applies_to="both", **everywhere(graph))
    names = [
        sample(graph, "sd15", in_order(*patches))
        for patches in ((control, guided), (control, loaded(name)), (control,))
    ]
    graph.run()
    found, expected, without = (graph.saved(one) for one in names)
    assert relative(found, expected) < 1e-4
    assert relative(without, expected) > 0.01


def test_perturbed_attention_guidance_stays_in_effect_and_has_no_part_in_the_difference(
    graph: GraphBuilder, write: Write
) -> None:
    perturbed = model_patch("PerturbedAttentionGuidance", scale=3.0)
    guided = lora_guidance(write(hand_lora()), **everywhere(graph))
    patches = ((), (perturbed,), (guided,), (perturbed, guided), (guided, perturbed))
    names = [sample(graph, "sd15", in_order(*some), steps=1) for some in patches]
    graph.run()
    plain, pag, lora, before, behind = (graph.saved(one) for one in names)
    assert torch.equal(before, behind)
    assert relative(pag, plain) > 1e-3
    assert relative(lora, plain) > 1e-3
    assert relative(before - pag, lora - plain) < 1e-3


def test_a_guider_with_the_positive_prompt_last_works_too(graph: GraphBuilder, write: Write) -> None:
    name, parts = write(hand_lora()), model_parts(graph, "sd15")
    latent = empty_latent(graph, "sd15")

    def dual(parts: Parts) -> Link:
        prompts = {"cond1": parts["positive"], "cond2": parts["negative"], "negative": parts["negative"]}
        scales = {"cfg_conds": 1.0, "cfg_cond2_negative": 1.0, "style": "regular"}
        guider = graph.add("DualCFGGuider", model=parts["model"], **prompts, **scales)
        sigmas = graph.add("BasicScheduler", model=parts["model"], scheduler="normal", steps=2, denoise=1.0)
        node = graph.add(
            "SamplerCustomAdvanced",
            noise=[graph.add("RandomNoise", noise_seed=7), 0],
            guider=[guider, 0],
            sampler=[graph.add("KSamplerSelect", sampler_name="euler"), 0],
            sigmas=[sigmas, 0],
            latent_image=latent,
        )
        return [node, 0]

    settings = everywhere(graph)
    found = graph.save(dual(lora_guidance(name, **settings)(graph, parts)))
    expected = sample(graph, "sd15", loaded(name), cfg=1.0)
    graph.run()
    assert relative(graph.saved(found), graph.saved(expected)) < 1e-4
    graph.save(dual(lora_guidance(name, applies_to="both", **settings)(graph, parts)))
    with pytest.raises(GraphFailed, match="applies_to is both, expected a guider with a positive and a negative"):
        graph.run()
