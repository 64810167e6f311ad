"""keep_background: outside the mask the latent is the unguided run's, whatever the sampler."""

from typing import Any

import pytest
import torch
from architectures import Patch, Traced, hand_mask, in_order, lora_guidance, sample, visual_guidance
from comfy_graphs import GraphBuilder, told
from guidance_graphs import CRITIC, guidance, hand_lora, middle, start_mask, write_lora

from devtools.client import GraphFailed
from devtools.server import ComfyServer

NOISY = ("euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde")
INSIDE = torch.zeros(16, 16, dtype=torch.bool)
INSIDE[4:12, 4:12] = True


def kept(graph: GraphBuilder, guiding: Patch, keep: bool = True) -> Patch:
    """Guidance in the middle of the picture, before a background that is kept or not."""
    return in_order(
        hand_mask(keep_background=keep, detection_threshold=1.0, start_mask=start_mask(graph), decoder="vae"), guiding
    )


def changes(graph: GraphBuilder, *names: str) -> list[torch.Tensor]:
    """Where latents differ from the first of them: bool [B, h, w] each."""
    graph.run()
    plain, *others = (graph.saved(name) for name in names)
    return [(other != plain).any(1) for other in others]


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "uni_pc", "lcm", *NOISY])
def test_outside_the_mask_the_latent_is_the_unguided_one_to_the_last_bit(graph: GraphBuilder, sampler: str) -> None:
    settings: dict[str, Any] = {"sampler_name": sampler, "steps": 4}
    guiding = guidance(graph)
    plain, free, own = changes(
        graph,
        sample(graph, "sd15", **settings),
        sample(graph, "sd15", **settings),
        sample(graph, "sd15", kept(graph, guiding, keep=False), **settings),
        sample(graph, "sd15", kept(graph, guiding), **settings),
    )
    assert not plain.any()
    assert free[:, ~INSIDE].any()
    assert not own[:, ~INSIDE].any()
    assert own[:, INSIDE].all()


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_it_holds_for_other_families_exact_guidance_and_a_hand_lora(
    graph: GraphBuilder, server: ComfyServer, family: str
) -> None:
    lora = lora_guidance(write_lora(server.base, hand_lora(family)), **middle(graph))
    for guiding in (lora, guidance(graph, mode="exact")):
        (own,) = changes(graph, sample(graph, family, steps=3), sample(graph, family, kept(graph, guiding), steps=3))
        assert not own[:, ~INSIDE].any()
        assert own[:, INSIDE].all()


def test_repeated_steps_leave_the_background_too(graph: GraphBuilder) -> None:
    plain, own = (
        sample(graph, "sd15", *patch, steps=4) for patch in ((), (kept(graph, guidance(graph, recurrence=2)),))
    )
    (own,) = changes(graph, plain, own)
    assert not own[:, ~INSIDE].any()
    assert own[:, INSIDE].all()


def test_a_strength_of_0_gives_the_plain_latent_and_the_trace_says_what_was_kept(graph: GraphBuilder) -> None:
    plain = sample(graph, "sd15", steps=3)
    traced = Traced(graph, "sd15", kept(graph, guidance(graph, w=0.0)), steps=3)
    run = graph.run()
    assert torch.equal(graph.saved(plain), graph.saved(traced.latent))
    assert told(run, traced.trace)["settings"]["keep_background"] is True


def test_in_a_batch_of_three_without_a_hand_all_stay_the_plain_ones(graph: GraphBuilder) -> None:
    looking = {"first_timestep": 1000.0, "last_timestep": 0.0, "detection_threshold": 1.0}
    patch = in_order(hand_mask(keep_background=True, detection_threshold=1.0), visual_guidance(CRITIC, **looking))
    (own,) = changes(graph, sample(graph, "sd15", batch=3), sample(graph, "sd15", patch, batch=3))
    assert own.shape[0] == 3
    assert not own.any()


def test_the_hand_guided_ksamplers_keep_it_by_their_own_switch(graph: GraphBuilder) -> None:
    parts = graph.checkpoint()
    latent = [graph.add("EmptyLatentImage", width=128, height=128, batch_size=1), 0]
    settings = {**middle(graph), "keep_background": True}
    guided = graph.save([graph.sample_guided(parts, latent, CRITIC, **settings, denoise=1.0), 0])
    (own,) = changes(graph, graph.save(graph.sample(parts, latent, denoise=1.0)), guided)
    assert not own[:, ~INSIDE].any()
    assert own[:, INSIDE].all()


def test_a_sampler_that_chooses_its_own_steps_is_refused_in_a_sentence(graph: GraphBuilder) -> None:
    patch = in_order(
        hand_mask(keep_background=True, detection_threshold=1.0, start_mask=graph.mask(8, 0, 0, 8, 8)),
        visual_guidance(CRITIC, w=30.0, first_timestep=1000.0, last_timestep=0.0),
    )
    sample(graph, "sd15", patch, sampler_name="dpm_adaptive", steps=4)
    with pytest.raises(GraphFailed, match="keep_background needs a sampler that takes the same steps"):
        graph.run()
