"""Small random models of each architecture in ComfyUI's own samplers and patches, and guided by the pack."""

import pytest
import torch
from architectures import (
    FAMILIES,
    SIDE,
    TRANSFORMERS,
    UNETS,
    WITH_CONTROL_NET,
    hand_guided,
    model_parts,
    model_patch,
    sample,
    sample_custom,
    with_control_net,
)
from comfy_graphs import GraphBuilder
from PIL import Image

from devtools.server import ComfyServer
from fairhands.data import mannequin

# A hand that is found in the noisy and pale estimates of every family.
HAND_SEED = 12
CRITIC = "studio_critic.safetensors"
PAG = model_patch("PerturbedAttentionGuidance", scale=3.0)
SAG = model_patch("SelfAttentionGuidance", scale=0.5, blur_sigma=2.0)
RESCALE = model_patch("RescaleCFG", multiplier=0.7)


@pytest.fixture(scope="module")
def hand(server: ComfyServer) -> str:
    """A picture with one hand, in the server's input folder; 256 px."""
    Image.fromarray(mannequin.draw(HAND_SEED, 256, kind="right").picture).save(server.base / "input" / "clear_hand.png")
    return "clear_hand.png"


def run(graph: GraphBuilder, *names: str) -> list[torch.Tensor]:
    """The saved values, all of them finite."""
    graph.run()
    saved = [graph.saved(name) for name in names]
    assert all(value.isfinite().all() for value in saved)
    return saved


@pytest.mark.parametrize("family", FAMILIES)
def test_the_ksampler_gives_a_batch_of_two_that_depends_on_the_prompts(graph: GraphBuilder, family: str) -> None:
    usual, without_negative = run(graph, sample(graph, family), sample(graph, family, cfg=1.0))
    assert usual.shape == (2, 16 if family in TRANSFORMERS else 4, SIDE // 8, SIDE // 8)
    assert not torch.equal(usual[0], usual[1])
    assert (usual - without_negative).std() > 1e-3 * usual.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_model_and_another_seed_another(graph: GraphBuilder, family: str) -> None:
    results = []
    # The run in between makes ComfyUI forget the first model, so that it is built again.
    for seed in (0, 1, 0):
        graph.prompt.clear()
        results += run(graph, sample(graph, family, model_seed=seed))
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hand_is_still_found_after_denoise_0_3(graph: GraphBuilder, hand: str, family: str) -> None:
    parts = model_parts(graph, family)
    latent = graph.sample(parts, graph.encode(parts, graph.batch(hand, hand)), steps=2, denoise=0.3)
    picture = [graph.add("VAEDecode", samples=latent, vae=parts["vae"]), 0]
    (mask,) = run(graph, graph.save([graph.find_hands(picture), 0]))
    assert len(mask) == 2
    assert all(0.02 < found.mean() < 0.9 for found in mask)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_noise_mask_is_kept_to(graph: GraphBuilder, hand: str, family: str) -> None:
    hole = graph.add("ProbeMask", batch=0, height=256, width=256, top=64, left=64, bottom=192, right=192)
    # No step at all leaves what was encoded.
    names = [
        sample(graph, family, pictures=(hand, hand), noise_mask=[hole, 0], denoise=denoise) for denoise in (0.0, 0.6)
    ]
    before, after = run(graph, *names)
    difference = ((after - before) / before.std()).abs().amax((0, 1))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:24, 8:24] = True
    # ComfyUI scales latents in and out of the sampler, which rounds the last bit.
    assert difference[~inside].max() < 1e-5
    assert difference[inside].min() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_sampler_custom_advanced_gives_what_the_ksampler_does(graph: GraphBuilder, family: str) -> None:
    plain, custom = run(graph, sample(graph, family), sample(graph, family, sampler=sample_custom))
    assert torch.equal(plain, custom)


@pytest.mark.parametrize("family", WITH_CONTROL_NET)
def test_a_control_net_changes_the_latent_with_its_picture(
    graph: GraphBuilder, hand: str, empty_picture: str, family: str
) -> None:
    names = [sample(graph, family, with_control_net(picture)) for picture in (hand, empty_picture)]
    plain, with_hand, with_empty = run(graph, sample(graph, family), *names)
    assert (with_hand - plain).std() > 1e-3 * plain.std()
    assert (with_hand - with_empty).std() > 1e-3 * plain.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_rescale_cfg_changes_the_latent(graph: GraphBuilder, family: str) -> None:
    plain, rescaled = run(graph, sample(graph, family), sample(graph, family, RESCALE))
    assert (rescaled - plain).std() > 1e-3 * plain.std()


@pytest.mark.parametrize("family", UNETS)
def test_attention_guidance_changes_a_u_nets_latent(graph: GraphBuilder, family: str) -> None:
    plain, perturbed, blurred = run(graph, *(sample(graph, family, *patch) for patch in ((), (PAG,), (SAG,))))
    assert (perturbed - plain).std() > 1e-3 * plain.std()
    assert (blurred - plain).std() > 1e-3 * plain.std()


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_perturbed_attention_guidance_finds_nothing_to_perturb_in_a_transformer(
    graph: GraphBuilder, family: str
) -> None:
    plain, perturbed = run(graph, sample(graph, family), sample(graph, family, PAG))
    assert torch.allclose(perturbed, plain, rtol=0, atol=1e-3 * float(plain.std()))


@pytest.mark.parametrize("family", FAMILIES)
def test_hand_guidance_runs_in_a_batch_of_two(graph: GraphBuilder, family: str) -> None:
    start = graph.add("ProbeMask", batch=0, height=SIDE, width=SIDE, top=32, left=32, bottom=96, right=96)
    window = {"first_timestep": 1000.0, "last_timestep": 0.0}
    unguided, guided = (
        sample(graph, family, sampler=hand_guided(CRITIC, start_mask=[start, 0], w=w, **window)) for w in (0.0, 2.0)
    )
    plain, without_strength, with_strength = run(graph, sample(graph, family), unguided, guided)
    assert torch.equal(without_strength, plain)
    assert all(not torch.equal(image, other) for image, other in zip(with_strength, plain, strict=True))
