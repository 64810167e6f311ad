import json
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder, Link

from devtools.client import GraphFailed

VISUAL: dict[str, Any] = {
    "w": 2.0,
    "mode": "fast",
    "first_timestep": 650.0,
    "last_timestep": 150.0,
    "window_in": "timesteps",
    "schedule": "noise",
    "every": 1,
    "normalisation": "unit",
    "recurrence": 1,
    "weigh_by_score": False,
    "measure_effect": False,
    "decoder": "auto",
    "detection_threshold": 0.3,
    "download_missing": False,
}


class Custom:
    """Noise, sampler, sigmas and a guided model of the stand-in checkpoint, for several samplers."""

    def __init__(self, graph: GraphBuilder, critic: str, picture: str):
        self.graph = graph
        self.parts = graph.checkpoint()
        self.discriminator = [graph.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0]
        self.latent = graph.encode(self.parts, graph.batch(picture))
        corners = {"top": 64, "left": 64, "bottom": 192, "right": 192}
        self.rectangle = [graph.add("ProbeMask", batch=0, height=256, width=256, **corners), 0]
        self.noise = [graph.add("RandomNoise", noise_seed=7), 0]
        self.sampler = [graph.add("KSamplerSelect", sampler_name="euler"), 0]

    def patched(self, **changes: Any) -> Link:
        inputs = {key: self.parts[key] for key in ("model", "vae")} | {"discriminator": self.discriminator}
        return [self.graph.add("FairHandsHandVisualGuidance", **(inputs | VISUAL | changes)), 0]

    def guider(self, model: Link) -> Link:
        prompts = {key: self.parts[key] for key in ("positive", "negative")}
        return [self.graph.add("CFGGuider", model=model, cfg=3.0, **prompts), 0]

    def sigmas(self, steps: int, denoise: float = 1.0) -> Link:
        inputs = {"model": self.parts["model"], "scheduler": "normal", "steps": steps, "denoise": denoise}
        return [self.graph.add("BasicScheduler", **inputs), 0]

    def inputs(self, model: Link, steps: int = 4, **changes: Any) -> dict[str, Any]:
        inputs = {"noise": self.noise, "guider": self.guider(model), "sampler": self.sampler}
        return inputs | {"sigmas": self.sigmas(steps), "latent_image": self.latent} | changes

    def sample(self, model: Link, **changes: Any) -> str:
        return self.graph.add("FairHandsHandGuidedSamplerCustom", **self.inputs(model, **changes))

    def stock(self, model: Link, **changes: Any) -> str:
        return self.graph.add("SamplerCustomAdvanced", **self.inputs(model, **changes))

    def run(self, *links: Link) -> list[torch.Tensor]:
        names = [self.graph.save(link) for link in links]
        self.graph.run()
        return [self.graph.saved(name) for name in names]


@pytest.fixture
def custom(graph: GraphBuilder, critic_name: str, hand_picture: str) -> Custom:
    return Custom(graph, critic_name, hand_picture)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral"])
def test_both_outputs_are_those_of_sampler_custom_advanced_bit_for_bit(custom: Custom, sampler: str) -> None:
    chosen = {"sampler": [custom.graph.add("KSamplerSelect", sampler_name=sampler), 0]}
    # A schedule that ends with noise left, so that the two outputs differ.
    chosen["sigmas"] = [custom.graph.add("SplitSigmas", sigmas=custom.sigmas(4), step=3), 0]
    node = custom.sample(custom.patched(start_mask=custom.rectangle), **chosen)
    same = custom.stock(custom.patched(start_mask=custom.rectangle), **chosen)
    plain = custom.stock(custom.parts["model"], **chosen)
    output, denoised, stock, stock_denoised, unguided = custom.run(
        [node, 0], [node, 1], [same, 0], [same, 1], [plain, 0]
    )
    assert torch.equal(output, stock)
    assert torch.equal(denoised, stock_denoised)
    assert not torch.equal(output, denoised)
    assert not torch.equal(output, unguided)


def test_with_w_0_it_is_sampler_custom_advanced_on_the_plain_model_bit_for_bit(custom: Custom) -> None:
    node, plain = custom.sample(custom.patched(w=0.0)), custom.stock(custom.parts["model"])
    output, unguided = custom.run([node, 0], [plain, 0])
    assert torch.equal(output, unguided)


def test_a_noise_mask_is_kept_to_as_sampler_custom_advanced_keeps_to_it(custom: Custom) -> None:
    noise = [custom.graph.add("SetLatentNoiseMask", samples=custom.latent, mask=custom.rectangle), 0]
    model = custom.patched(start_mask=custom.rectangle)
    node, same = custom.sample(model, latent_image=noise), custom.stock(model, latent_image=noise)
    output, stock, before = custom.run([node, 0], [same, 0], custom.latent)
    assert torch.equal(output, stock)
    difference = (output - before).abs().amax(1)[0]
    assert difference[:7].max() < 1e-5
    assert difference[9:23, 9:23].min() > 0


def test_mask_and_trace_are_those_of_its_own_run_where_two_samplers_share_a_guider(custom: Custom) -> None:
    graph = custom.graph
    # An estimate that begins near the picture shows its hand; one that begins with noise alone shows none.
    model = custom.patched()
    near = custom.sample(model, sigmas=custom.sigmas(3, 0.25))
    far = custom.sample(model, steps=8, latent_image=[graph.add("LatentMultiply", samples=[near, 0], multiplier=1.0), 0])
    plots = [graph.add("FairHandsGuidanceTracePlot", trace=[node, 3], width=300, height=200) for node in (near, far)]
    # Both plots are drawn after both runs.
    for plot in plots:
        graph.prompt[plot]["inputs"]["after"] = [far, 0]
    texts = [graph.add("PreviewAny", source=[plot, 1]) for plot in plots]
    mask_names = [graph.save([near, 2]), graph.save([plots[0], 2])]
    outputs = graph.run().outputs
    near_steps, far_steps = (json.loads(outputs[text]["text"][0])["steps"] for text in texts)
    mask, plotted = (graph.saved(name) for name in mask_names)
    assert mask.shape == (1, 256, 256)
    assert 0.02 < mask.mean() < 0.9
    assert torch.equal(mask, plotted)
    assert len(near_steps) < len(far_steps)
    assert any(image["hands"] for step in near_steps for image in step["images"])


def test_without_sigmas_the_latent_stays_and_nothing_is_left_of_an_earlier_run(custom: Custom) -> None:
    graph = custom.graph
    guider = custom.guider(custom.patched(start_mask=custom.rectangle))
    earlier = custom.sample(custom.parts["model"], guider=guider, steps=2)
    none = custom.sigmas(4, 0.0)
    node = custom.sample(custom.parts["model"], guider=guider, sigmas=none, latent_image=[earlier, 0])
    plot = graph.add("FairHandsGuidanceTracePlot", trace=[node, 3], width=300, height=200)
    text = graph.add("PreviewAny", source=[plot, 1])
    names = [graph.save(link) for link in ([node, 0], [node, 1], [node, 2], [earlier, 0])]
    outputs = graph.run().outputs
    output, denoised, mask, before = (graph.saved(name) for name in names)
    assert torch.equal(output, before)
    assert torch.equal(denoised, before)
    assert mask.shape == (1, 256, 256)
    assert mask.sum() == 128 * 128
    assert json.loads(outputs[text]["text"][0]) == {"settings": {}, "steps": []}


def test_a_model_without_guidance_is_refused_in_a_sentence_that_says_what_to_put_before(custom: Custom) -> None:
    custom.graph.save([custom.sample(custom.parts["model"]), 0])
    with pytest.raises(GraphFailed, match="put Hand Visual Guidance or Hand LoRA Guidance between the model and the"):
        custom.graph.run()


def test_a_hand_mask_while_sampling_alone_is_not_enough(custom: Custom) -> None:
    inputs = {key: custom.parts[key] for key in ("model", "vae")} | {
        "decoder": "auto",
        "detection_threshold": 0.3,
        "max_hands": 4,
        "tiles": 1,
        "look_every": 1,
        "shape": "hull",
        "padding": 0.15,
        "feather": 0,
        "largest": 1.0,
        "remember": 0,
        "fallbacks": "",
        "download_missing": False,
    }
    masked = [custom.graph.add("FairHandsHandMaskWhileSampling", **inputs), 0]
    custom.graph.save([custom.sample(masked), 0])
    with pytest.raises(GraphFailed, match="Hand Mask While Sampling alone guides nothing"):
        custom.graph.run()
