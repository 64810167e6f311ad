"""Hand Visual Guidance with ComfyUI's own samplers and models."""

from typing import Any

import pytest
import torch
from architectures import (
    FAMILIES,
    SIDE,
    TRANSFORMERS,
    Traced,
    empty_latent,
    hand_guided,
    in_order,
    model_parts,
    model_patch,
    sample,
    sample_custom,
    visual_guidance,
)
from comfy_graphs import GraphBuilder, told
from guidance_graphs import ALWAYS, CRITIC, MODES, differ, guidance, start_mask

from devtools.client import GraphFailed, GraphInterrupted, GraphRefused


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_and_exact_guide_a_batch_of_two_and_w_0_is_the_plain_ksampler(graph: GraphBuilder, family: str) -> None:
    plain = sample(graph, family)
    off = sample(graph, family, guidance(graph, w=0.0, mode="exact", recurrence=2))
    fast, exact = (Traced(graph, family, guidance(graph, mode=mode, measure_effect=True)) for mode in MODES)
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
        assert trace["steps"]
        for image in (image for step in trace["steps"] for image in step["images"]):
            assert image["gradient_rms"] > 0
            assert image["loss_after"] != image["loss"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_usual_window_opens_at_its_timesteps(graph: GraphBuilder, family: str) -> None:
    """Flux counts its own timesteps from 0 to 1."""
    window = {"first_timestep": 650.0, "last_timestep": 150.0}
    traced = Traced(graph, family, guidance(graph, w=0.0, **window), steps=8, batch=1)
    steps = told(graph.run(), traced.trace)["steps"]
    timesteps = [step["timestep"] for step in steps]
    assert len(timesteps) >= 2
    assert all(150 <= timestep <= 650 for timestep in timesteps)
    assert timesteps == sorted(timesteps, reverse=True)
    if family in TRANSFORMERS:
        assert timesteps == pytest.approx([1000 * step["sigma"] for step in steps])


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


@pytest.mark.parametrize(("family", "mode"), [("sd15", "fast"), ("sd15", "exact"), ("flux", "exact")])
def test_outside_the_start_mask_a_guided_step_changes_nothing(graph: GraphBuilder, family: str, mode: str) -> None:
    """Only the last step is guided, so that the model cannot carry a change out of the mask."""
    window = {"first_timestep": 700.0, "last_timestep": 0.0}
    traced = Traced(graph, family, guidance(graph, mode=mode, **window), sampler_name="euler")
    plain = sample(graph, family)
    run = graph.run()
    assert len(told(run, traced.trace)["steps"]) == 1
    changed = (graph.saved(traced.latent) != graph.saved(plain)).any(1)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    assert not changed[:, ~inside].any()
    assert changed[:, inside].all()
    mask = graph.saved(traced.mask)
    assert mask.shape == (2, SIDE, SIDE)
    assert mask[:, 32:96, 32:96].min() == 1
    assert mask.sum() == 2 * 64 * 64


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_window_in_percent_leaves_out_the_first_and_last_steps(graph: GraphBuilder, family: str) -> None:
    windows = ((0.0, 100.0), (25.0, 70.0), (0.0, 50.0), (50.0, 100.0))
    traced = [
        Traced(
            graph,
            family,
            guidance(graph, w=0.0, window_in="percent", first_timestep=first, last_timestep=last),
            steps=6,
            batch=1,
        )
        for first, last in windows
    ]
    run = graph.run()
    whole, middle, first, last = ([step["sigma"] for step in told(run, one.trace)["steps"]] for one in traced)
    assert len(whole) == 6
    assert set(first) | set(last) == set(whole)
    assert first == whole[: len(first)]
    assert last == whole[-len(last) :]
    assert 2 <= len(middle) <= 4
    assert middle == [sigma for sigma in whole if middle[0] >= sigma >= middle[-1]]


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ({"first_timestep": 100.0, "last_timestep": 600.0}, "first timestep is 100 and last timestep is 600"),
        (
            {"first_timestep": 80.0, "last_timestep": 20.0, "window_in": "percent"},
            "first is 80 % and last is 20 %: .*exchange them",
        ),
    ],
)
def test_exchanged_ends_are_refused(graph: GraphBuilder, window: dict[str, Any], sentence: str) -> None:
    sample(graph, "sd15", guidance(graph, **window))
    with pytest.raises(GraphFailed, match=sentence):
        graph.run()


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"mode": "slow"}, "mode is 'slow'"),
        ({"schedule": "steep"}, "schedule is 'steep'"),
        ({"normalisation": "most"}, "normalisation is 'most'"),
        ({"decoder": "small"}, "decoder is 'small'"),
        ({"window_in": "steps"}, "window_in is 'steps'"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_before_anything_runs(
    graph: GraphBuilder, choice: dict[str, str], sentence: str
) -> None:
    sample(graph, "sd15", guidance(graph, **choice))
    with pytest.raises(GraphRefused, match=sentence):
        graph.run()


def test_a_choice_may_come_from_another_node(graph: GraphBuilder) -> None:
    mode = graph.add("ProbeAny", text="exact")
    names = [sample(graph, "sd15", guidance(graph, mode=given)) for given in ("exact", [mode, 0])]
    graph.run()
    assert torch.equal(graph.saved(names[0]), graph.saved(names[1]))


def test_a_continuous_noise_schedule_has_the_same_timesteps(graph: GraphBuilder) -> None:
    continuous = model_patch("ModelSamplingContinuousEDM", sampling="eps", sigma_max=14.6, sigma_min=0.03)
    window = {"first_timestep": 650.0, "last_timestep": 150.0}
    traced = [
        Traced(
            graph, "sd15", in_order(*before, guidance(graph, w=0.0, **window)), steps=12, batch=1, scheduler="karras"
        )
        for before in ((), (continuous,))
    ]
    run = graph.run()
    usual, other = ([step["timestep"] for step in told(run, one.trace)["steps"]] for one in traced)
    assert len(usual) >= 3
    assert abs(len(usual) - len(other)) <= 1
    assert all(150 <= timestep <= 650 for timestep in other)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_recurrence_repeats_guided_steps_alone(graph: GraphBuilder, sampler: str) -> None:
    names = [
        Traced(
            graph,
            "sd15",
            guidance(graph, recurrence=times, last_timestep=300.0),
            steps=3,
            batch=1,
            sampler_name=sampler,
        )
        for times in (1, 2)
    ]
    run = graph.run()
    once, twice = ([step["sigma"] for step in told(run, one.trace)["steps"]] for one in names)
    assert twice == [sigma for sigma in once for _ in range(2)]
    assert differ(graph.saved(names[1].latent), graph.saved(names[0].latent))


def test_recurrence_refuses_a_sampler_that_cannot_repeat_steps(graph: GraphBuilder) -> None:
    sample(graph, "sd15", guidance(graph, recurrence=2), sampler_name="uni_pc", steps=4)
    with pytest.raises(GraphFailed, match="sampler is uni_pc, which cannot repeat single steps"):
        graph.run()


def test_every_2_guides_each_second_step(graph: GraphBuilder) -> None:
    all_steps, second = (Traced(graph, "sd15", guidance(graph, every=every), steps=5, batch=1) for every in (1, 2))
    run = graph.run()
    strengths = [[step["visual_strength"] > 0 for step in told(run, one.trace)["steps"]] for one in (all_steps, second)]
    assert strengths[0] == [True] * len(strengths[0])
    assert strengths[1] == [number % 2 == 0 for number in range(len(strengths[0]))]
    assert differ(graph.saved(second.latent), graph.saved(all_steps.latent))


def test_two_guided_models_in_one_graph_do_not_disturb_each_other(graph: GraphBuilder) -> None:
    alone = []
    for mode in MODES:
        graph.prompt.clear()
        alone.append(sample(graph, "sd15", guidance(graph, mode=mode)))
        graph.run()
    graph.prompt.clear()
    parts = model_parts(graph, "sd15")
    latent = empty_latent(graph, "sd15")
    together = []
    for mode in MODES:
        patched = guidance(graph, mode=mode)(graph, parts)
        out = graph.sample(patched, latent, steps=2, denoise=1.0)
        together.append((graph.save(out), graph.plot(patched["trace"], out)[0]))
    run = graph.run()
    for name, (saved, trace), mode in zip(alone, together, MODES, strict=True):
        assert torch.equal(graph.saved(saved), graph.saved(name))
        assert told(run, trace)["settings"]["mode"] == mode


def test_guidance_leaves_nothing_behind(graph: GraphBuilder) -> None:
    counts = []
    for seed in range(3):
        graph.prompt.clear()
        Traced(graph, "sd15", guidance(graph, mode="exact", recurrence=2), batch=1, seed=seed)
        graph.run()
        graph.prompt.clear()
        node = graph.add("PreviewAny", source=[graph.add("ProbeMemory"), 0])
        counts.append(told(graph.run(), node))
    # What the first run leaves is kept on purpose: ComfyUI's own caches.
    assert counts[1] == counts[2]


def test_an_interrupt_leaves_the_server_usable(graph: GraphBuilder) -> None:
    sample(graph, "sd15", guidance(graph, mode="exact"), steps=60, seed=1)
    with pytest.raises(GraphInterrupted):
        graph.run(interrupt_at_step=2)
    graph.prompt.clear()
    names = [
        sample(graph, "sd15"),
        sample(graph, "sd15", guidance(graph, w=0.0)),
        sample(graph, "sd15", guidance(graph, mode="exact")),
    ]
    graph.run()
    plain, off, exact = (graph.saved(name) for name in names)
    assert torch.equal(off, plain)
    assert differ(exact, plain)
