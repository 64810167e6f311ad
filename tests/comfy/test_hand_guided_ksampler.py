import json
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder

from devtools.client import GraphFailed, GraphInterrupted, GraphRefused


class Sampled:
    """Plain and guided samples of the same start, and what guidance left, once `run` was called."""

    def __init__(self, graph: GraphBuilder, critic: str, *pictures: str, plain: bool = True, **changes: Any):
        self.graph = graph
        parts = graph.checkpoint()
        latent = graph.encode(parts, graph.batch(*pictures))
        shared = {key: changes.pop(key) for key in list(changes) if key in SHARED}
        node = graph.sample_guided(parts, latent, critic, **shared, **changes)
        self.names = {"guided": graph.save([node, 0]), "mask": graph.save([node, 1])}
        if plain:
            self.names["plain"] = graph.save(graph.sample(parts, latent, **shared))
        plot = graph.add("FairHandsGuidanceTracePlot", trace=[node, 2], width=600, height=400)
        self.names["plot"] = graph.save([plot, 0])
        self.json = graph.add("PreviewAny", source=[plot, 1])

    def run(self) -> dict[str, Any]:
        outputs = self.graph.run().outputs
        saved = {key: self.graph.saved(name) for key, name in self.names.items()}
        return saved | {"trace": json.loads(outputs[self.json]["text"][0])}


SHARED = {"seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"}


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun", "euler_ancestral"])
def test_w_0_gives_the_plain_ksamplers_latent_bit_for_bit(
    graph: GraphBuilder, critic_name: str, hand_picture: str, sampler: str
) -> None:
    run = Sampled(graph, critic_name, hand_picture, w=0.0, sampler_name=sampler).run()
    assert torch.equal(run["guided"], run["plain"])
    assert len(run["trace"]["steps"]) >= 2


def test_a_hand_seen_while_sampling_is_masked_and_guided(
    graph: GraphBuilder, critic_name: str, hand_picture: str
) -> None:
    run = Sampled(graph, critic_name, hand_picture, denoise=0.25, steps=3).run()
    assert run["mask"].shape == (1, 256, 256)
    assert 0.02 < run["mask"].mean() < 0.9
    assert not torch.equal(run["guided"], run["plain"])
    assert any(image["hands"] for step in run["trace"]["steps"] for image in step["images"])


def test_outside_the_mask_a_guided_step_changes_nothing(
    graph: GraphBuilder, critic_name: str, hand_picture: str
) -> None:
    """Only the last step is guided, so that the model cannot carry a change out of the mask."""
    start = graph.add("ProbeMask", batch=0, height=256, width=256, top=64, left=64, bottom=128, right=192)
    window = {"first_timestep": 200.0, "last_timestep": 0.0}
    run = Sampled(
        graph, critic_name, hand_picture, steps=2, start_mask=[start, 0], detection_threshold=1.0, **window
    ).run()
    assert len(run["trace"]["steps"]) == 1
    changed = (run["guided"] != run["plain"]).any(1)[0]
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:16, 8:24] = True
    assert not changed[~inside].any()
    assert changed[inside].all()


def test_without_a_hand_the_mask_is_empty_and_the_latent_the_unguided_one(
    graph: GraphBuilder, critic_name: str, empty_picture: str
) -> None:
    run = Sampled(graph, critic_name, empty_picture).run()
    assert run["mask"].sum() == 0
    assert torch.equal(run["guided"], run["plain"])
    assert {image["note"] for step in run["trace"]["steps"] for image in step["images"]} == {"no hand, empty mask"}


def test_in_a_batch_of_three_only_the_image_with_a_hand_is_guided(
    graph: GraphBuilder, critic_name: str, hand_picture: str, empty_picture: str
) -> None:
    pictures = (empty_picture, hand_picture, empty_picture)
    run = Sampled(graph, critic_name, *pictures, denoise=0.25, steps=3).run()
    assert [bool(mask.any()) for mask in run["mask"]] == [False, True, False]
    assert torch.equal(run["guided"][[0, 2]], run["plain"][[0, 2]])
    assert not torch.equal(run["guided"][1], run["plain"][1])


def test_the_same_seed_gives_the_same_result(graph: GraphBuilder, critic_name: str, hand_picture: str) -> None:
    start = graph.add("ProbeMask", batch=0, height=8, width=8, top=2, left=2, bottom=6, right=6)
    # A changed threshold alone makes ComfyUI run the node again instead of returning what it kept.
    runs = [
        Sampled(graph, critic_name, hand_picture, plain=False, start_mask=[start, 0], detection_threshold=threshold)
        for threshold in (0.98, 0.99)
    ]
    graph.run()
    first, second = (graph.saved(run.names["guided"]) for run in runs)
    assert torch.equal(first, second)


@pytest.mark.parametrize(("batch", "side"), [(0, 50), (1, 512), (2, 256)])
def test_a_start_mask_of_another_size_works(
    graph: GraphBuilder, critic_name: str, empty_picture: str, batch: int, side: int
) -> None:
    start = graph.add("ProbeMask", batch=batch, height=side, width=side, top=0, left=0, bottom=side // 2, right=side)
    run = Sampled(graph, critic_name, empty_picture, empty_picture, start_mask=[start, 0], steps=2).run()
    assert run["mask"].shape == (2, 256, 256)
    assert run["mask"][:, :120].min() == 1
    assert run["mask"][:, 136:].max() == 0


def test_a_noise_mask_is_kept_to(graph: GraphBuilder, critic_name: str, hand_picture: str) -> None:
    parts = graph.checkpoint()
    latent = graph.encode(parts, graph.batch(hand_picture))
    hole = graph.add("ProbeMask", batch=0, height=256, width=256, top=64, left=64, bottom=192, right=192)
    noise = graph.add("SetLatentNoiseMask", samples=latent, mask=[hole, 0])
    node = graph.sample_guided(parts, [noise, 0], critic_name, start_mask=[hole, 0], denoise=0.8)
    before, after = graph.save(latent), graph.save([node, 0])
    graph.run()
    difference = (graph.saved(after) - graph.saved(before)).abs().amax(1)[0]
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:24, 8:24] = True
    # ComfyUI scales latents in and out of the sampler, which rounds the last bit.
    assert difference[~inside].max() < 1e-5
    assert difference[inside].min() > 1e-3


def test_an_interrupt_in_the_middle_leaves_the_server_usable(
    graph: GraphBuilder, critic_name: str, hand_picture: str
) -> None:
    Sampled(graph, critic_name, hand_picture, plain=False, steps=40, seed=1)
    with pytest.raises(GraphInterrupted):
        graph.run(interrupt_at_step=2)
    graph.prompt.clear()
    run = Sampled(graph, critic_name, hand_picture, w=0.0, steps=2).run()
    assert torch.equal(run["guided"], run["plain"])


def test_an_exchanged_window_is_refused_in_a_sentence(graph: GraphBuilder, critic_name: str, hand_picture: str) -> None:
    Sampled(graph, critic_name, hand_picture, plain=False, first_timestep=100.0, last_timestep=600.0)
    with pytest.raises(GraphFailed, match="first timestep is 100 and last timestep is 600"):
        graph.run()


def test_a_sampler_that_does_not_exist_is_refused_before_anything_runs(
    graph: GraphBuilder, critic_name: str, hand_picture: str
) -> None:
    Sampled(graph, critic_name, hand_picture, plain=False, sampler_name="no_such_sampler")
    with pytest.raises(GraphRefused, match="sampler_name is 'no_such_sampler'"):
        graph.run()


def test_the_trace_names_timesteps_inside_the_window_and_the_plot_shows_them(
    graph: GraphBuilder, critic_name: str, hand_picture: str
) -> None:
    run = Sampled(graph, critic_name, hand_picture, plain=False, denoise=1.0, steps=10, w=1.0).run()
    timesteps = [step["timestep"] for step in run["trace"]["steps"]]
    assert timesteps == sorted(timesteps, reverse=True)
    assert all(150 <= timestep <= 650 for timestep in timesteps)
    assert 4 <= len(timesteps) < 10
    assert run["plot"].shape == (1, 400, 600, 3)
