from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder, Link, told
from sampler_graphs import VISUAL, custom, guider, plain_custom, sigmas

from devtools.client import GraphFailed


class Sampling:
    """Samplers of the stand-in checkpoint on a picture, in one graph."""

    def __init__(self, graph: GraphBuilder, critic: str, picture: str):
        self.graph = graph
        self.critic = critic
        self.parts = graph.checkpoint()
        self.latent = graph.encode(self.parts, graph.batch(picture))
        # A mask that holds without any detection.
        self.mask = graph.mask(256, 64, 64, 192, 192)

    def patched(self, **changes: Any) -> Link:
        return [self.graph.guide_visually(self.parts, self.critic, **(VISUAL | changes)), 0]

    def guided(self, model: Link, latent: Link | None = None, **changes: Any) -> str:
        return custom(self.graph, self.parts, model, latent or self.latent, **changes)

    def stock(self, model: Link, latent: Link | None = None, **changes: Any) -> str:
        return plain_custom(self.graph, self.parts, model, latent or self.latent, **changes)

    def sigmas(self, steps: int, denoise: float = 1.0) -> Link:
        return sigmas(self.graph, self.parts, steps, denoise)

    def run(self, *links: Link) -> list[torch.Tensor]:
        names = [self.graph.save(link) for link in links]
        self.graph.run()
        return [self.graph.saved(name) for name in names]


@pytest.fixture
def sampling(graph: GraphBuilder, critic_name: str, hand_picture: str) -> Sampling:
    return Sampling(graph, critic_name, hand_picture)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral"])
def test_both_outputs_are_sampler_custom_advanceds_bit_for_bit(sampling: Sampling, sampler: str) -> None:
    chosen = {"sampler": [sampling.graph.add("KSamplerSelect", sampler_name=sampler), 0]}
    # A schedule that ends with noise left, so that the two outputs differ.
    chosen["sigmas"] = [sampling.graph.add("SplitSigmas", sigmas=sampling.sigmas(4), step=3), 0]
    model = sampling.patched(start_mask=sampling.mask)
    nodes = sampling.guided(model, **chosen), sampling.stock(model, **chosen)
    links = [[node, slot] for slot in (0, 1) for node in nodes]
    plain = sampling.stock(sampling.parts["model"], **chosen)
    output, same, denoised, same_denoised, unguided = sampling.run(*links, [plain, 0])
    assert torch.equal(output, same)
    assert torch.equal(denoised, same_denoised)
    assert not torch.equal(output, denoised)
    assert not torch.equal(output, unguided)


def test_with_w_0_it_is_sampler_custom_advanced_on_the_plain_model_bit_for_bit(sampling: Sampling) -> None:
    nodes = sampling.guided(sampling.patched(w=0.0)), sampling.stock(sampling.parts["model"])
    output, plain = sampling.run(*([node, 0] for node in nodes))
    assert torch.equal(output, plain)


def test_a_noise_mask_is_kept_to_as_sampler_custom_advanced_keeps_to_it(sampling: Sampling) -> None:
    hole = [sampling.graph.add("SetLatentNoiseMask", samples=sampling.latent, mask=sampling.mask), 0]
    model = sampling.patched(start_mask=sampling.mask)
    nodes = sampling.guided(model, hole), sampling.stock(model, hole)
    output, same, before = sampling.run(*([node, 0] for node in nodes), sampling.latent)
    assert torch.equal(output, same)
    difference = (output - before).abs().amax(1)[0]
    # ComfyUI scales latents in and out of the sampler, which rounds the last bit.
    assert difference[:7].max() < 1e-5
    assert difference[9:23, 9:23].min() > 0


def test_mask_and_trace_are_of_its_own_run_where_two_samplers_share_a_model(sampling: Sampling) -> None:
    model = sampling.patched()
    # It begins near the picture, and so sees its hand.
    first = sampling.guided(model, sigmas=sampling.sigmas(3, 0.25))
    second = sampling.guided(model, [first, 0], sigmas=sampling.sigmas(8))
    # Both are plotted after both runs.
    (first_text, first_mask), (second_text, _) = (
        sampling.graph.plot([node, 3], [second, 0]) for node in (first, second)
    )
    mask_name = sampling.graph.save([first, 2])
    run = sampling.graph.run()
    first_steps, second_steps = (told(run, text)["steps"] for text in (first_text, second_text))
    mask = sampling.graph.saved(mask_name)
    assert mask.shape == (1, 256, 256)
    assert 0.02 < mask.mean() < 0.9
    assert torch.equal(mask, sampling.graph.saved(first_mask))
    assert any(image["hands"] for step in first_steps for image in step["images"])
    assert len(first_steps) < len(second_steps)


def test_without_sigmas_the_latent_stays_and_nothing_is_left_of_an_earlier_run(sampling: Sampling) -> None:
    shared = {"guider": guider(sampling.graph, sampling.parts, sampling.patched(start_mask=sampling.mask))}
    earlier = sampling.guided(sampling.parts["model"], **shared)
    node = sampling.guided(sampling.parts["model"], [earlier, 0], sigmas=sampling.sigmas(4, 0.0), **shared)
    text, _ = sampling.graph.plot([node, 3], [node, 0])
    names = [sampling.graph.save(link) for link in ([node, 0], [node, 1], [earlier, 0], [node, 2])]
    run = sampling.graph.run()
    output, denoised, before, mask = (sampling.graph.saved(name) for name in names)
    assert torch.equal(output, before)
    assert torch.equal(denoised, before)
    assert mask.shape == (1, 256, 256)
    assert mask.sum() == 128 * 128
    assert told(run, text) == {"settings": {}, "steps": []}


def test_a_model_without_guidance_is_refused_in_a_sentence_that_says_what_to_put_before(sampling: Sampling) -> None:
    sampling.graph.save([sampling.guided(sampling.parts["model"]), 0])
    with pytest.raises(GraphFailed, match="put Hand Visual Guidance or Hand LoRA Guidance between the model and the"):
        sampling.graph.run()


def test_a_hand_mask_while_sampling_alone_is_not_enough(sampling: Sampling) -> None:
    model = [sampling.graph.mask_while_sampling(sampling.parts), 0]
    sampling.graph.save([sampling.guided(model), 0])
    with pytest.raises(GraphFailed, match="Hand Mask While Sampling alone guides nothing"):
        sampling.graph.run()
