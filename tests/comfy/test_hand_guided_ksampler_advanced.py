import json
from typing import Any

import pytest
import safetensors.torch
import torch
from comfy_graphs import GraphBuilder, Link

from devtools.client import GraphFailed, GraphRefused
from devtools.server import ComfyServer

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
SHARED_WITH_LORA = (
    "first_timestep",
    "last_timestep",
    "window_in",
    "schedule",
    "every",
    "decoder",
    "detection_threshold",
    "download_missing",
)
SAMPLING: dict[str, Any] = {
    "add_noise": "enable",
    "noise_seed": 7,
    "steps": 4,
    "cfg": 3.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "start_at_step": 0,
    "end_at_step": 10000,
    "return_with_leftover_noise": "disable",
}
# Of 6 steps the first 3 here and the rest there, as with a base model and its refiner.
FIRST = {"steps": 6, "start_at_step": 1, "end_at_step": 3, "return_with_leftover_noise": "enable"}
REST = {"steps": 6, "start_at_step": 3, "add_noise": "disable"}


class Advanced:
    """Graphs on one picture with the stand-in checkpoint."""

    def __init__(self, graph: GraphBuilder, critic: str, picture: str):
        self.graph = graph
        self.parts = graph.checkpoint()
        self.discriminator = [graph.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0]
        self.latent = graph.encode(self.parts, graph.batch(picture))
        # A mask that holds without any detection.
        corners = {"top": 64, "left": 64, "bottom": 192, "right": 192}
        self.rectangle = [graph.add("ProbeMask", batch=0, height=256, width=256, **corners), 0]

    def guided(self, latent: Link | None = None, **changes: Any) -> str:
        inputs = self.parts | {"discriminator": self.discriminator, "latent_image": latent or self.latent}
        return self.graph.add("FairHandsHandGuidedKSamplerAdvanced", **(inputs | SAMPLING | VISUAL | changes))

    def plain(self, latent: Link | None = None, **changes: Any) -> Link:
        inputs = {key: self.parts[key] for key in ("model", "positive", "negative")}
        inputs |= {"latent_image": latent or self.latent}
        return [self.graph.add("KSamplerAdvanced", **(inputs | SAMPLING | changes)), 0]

    def patched(self, **changes: Any) -> str:
        inputs = {key: self.parts[key] for key in ("model", "vae")} | {"discriminator": self.discriminator}
        return self.graph.add("FairHandsHandVisualGuidance", **(inputs | VISUAL | changes))

    def trace(self, node: str, slot: int) -> str:
        plot = self.graph.add("FairHandsGuidanceTracePlot", trace=[node, slot], width=300, height=200)
        return self.graph.add("PreviewAny", source=[plot, 1])

    def run(self, *links: Link) -> list[torch.Tensor]:
        names = [self.graph.save(link) for link in links]
        self.graph.run()
        return [self.graph.saved(name) for name in names]


@pytest.fixture
def advanced(graph: GraphBuilder, critic_name: str, hand_picture: str) -> Advanced:
    return Advanced(graph, critic_name, hand_picture)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_with_w_0_two_parts_with_leftover_noise_are_the_advanced_ksamplers_bit_for_bit(
    advanced: Advanced, sampler: str
) -> None:
    chosen = {"w": 0.0, "sampler_name": sampler}
    first = [advanced.guided(**chosen, **FIRST), 0]
    second = [advanced.guided(first, **chosen, **REST), 0]
    plain_first = advanced.plain(sampler_name=sampler, **FIRST)
    plain_second = advanced.plain(plain_first, sampler_name=sampler, **REST)
    first, second, plain_first, plain_second = advanced.run(first, second, plain_first, plain_second)
    assert torch.equal(first, plain_first)
    assert torch.equal(second, plain_second)
    assert not torch.equal(first, second)


def test_without_leftover_noise_a_part_ends_as_the_advanced_ksamplers(advanced: Advanced) -> None:
    part = FIRST | {"return_with_leftover_noise": "disable"}
    guided, plain, with_noise = advanced.run(
        [advanced.guided(w=0.0, **part), 0], advanced.plain(**part), advanced.plain(**FIRST)
    )
    assert torch.equal(guided, plain)
    assert not torch.equal(guided, with_noise)


def test_two_guided_parts_are_the_patched_models_bit_for_bit(advanced: Advanced) -> None:
    first = advanced.guided(start_mask=advanced.rectangle, **FIRST)
    second = advanced.guided([first, 0], start_mask=[first, 1], **REST)
    patched = {"model": [advanced.patched(start_mask=advanced.rectangle), 0]}
    stock_first = advanced.plain(**patched, **FIRST)
    later = {"model": [advanced.patched(start_mask=[first, 1]), 0]}
    stock_second = advanced.plain(stock_first, **later, **REST)
    unguided = advanced.plain(advanced.plain(**FIRST), **REST)
    guided, stock, plain = advanced.run([second, 0], stock_second, unguided)
    assert torch.equal(guided, stock)
    assert not torch.equal(guided, plain)


def test_with_usual_settings_it_is_the_simple_node_bit_for_bit(advanced: Advanced) -> None:
    graph = advanced.graph
    usual = {key: VISUAL[key] for key in ("w", "first_timestep", "last_timestep", "detection_threshold")}
    inputs = advanced.parts | usual | {"discriminator": advanced.discriminator, "latent_image": advanced.latent}
    sampling = {key: SAMPLING[key] for key in ("steps", "cfg", "sampler_name", "scheduler")}
    inputs |= sampling | {"seed": 7, "denoise": 1.0, "download_missing": False, "start_mask": advanced.rectangle}
    simple = graph.add("FairHandsHandGuidedKSampler", **inputs)
    node = advanced.guided(start_mask=advanced.rectangle)
    same, guided, plain, mask, simple_mask = advanced.run(
        [simple, 0], [node, 0], advanced.plain(), [node, 1], [simple, 1]
    )
    assert torch.equal(guided, same)
    assert not torch.equal(guided, plain)
    assert torch.equal(mask, simple_mask)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "exact"},
        {"schedule": "sigma2"},
        {"every": 2},
        {"normalisation": "cfg"},
        {"recurrence": 2},
        {"window_in": "percent", "first_timestep": 20.0, "last_timestep": 80.0},
        {"decoder": "vae", "measure_effect": True, "weigh_by_score": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_does_what_it_does_in_hand_visual_guidance(advanced: Advanced, change: dict[str, Any]) -> None:
    node = advanced.guided(start_mask=advanced.rectangle, **change)
    patched = advanced.patched(start_mask=advanced.rectangle, **change)
    stock = advanced.plain(model=[patched, 0])
    texts = advanced.trace(node, 2)
    names = [advanced.graph.save(link) for link in ([node, 0], stock)]
    settings = json.loads(advanced.graph.run().outputs[texts]["text"][0])["settings"]
    guided, same = (advanced.graph.saved(name) for name in names)
    assert torch.equal(guided, same)
    key, value = next(iter(change.items()))
    assert settings.get(key, value) == value


def test_a_hand_lora_before_it_stays_in_effect(advanced: Advanced, server: ComfyServer) -> None:
    name = "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    generator = torch.Generator().manual_seed(0)
    lora = {
        f"{name}.lora_down.weight": torch.randn(4, 320, generator=generator) / 320**0.5,
        f"{name}.lora_up.weight": torch.randn(320, 4, generator=generator),
    }
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    safetensors.torch.save_file(lora, folder / "before_advanced.safetensors")
    inputs = {key: VISUAL[key] for key in SHARED_WITH_LORA} | {key: advanced.parts[key] for key in ("model", "vae")}
    inputs |= {"lora_name": "before_advanced.safetensors", "v": 1.0, "applies_to": "cond"}
    patched = [advanced.graph.add("FairHandsHandLoraGuidance", start_mask=advanced.rectangle, **inputs), 0]
    node = advanced.guided(model=patched, start_mask=advanced.rectangle, w=0.0)
    both = advanced.guided(model=patched, start_mask=advanced.rectangle)
    lora_alone, stock, plain, with_both = advanced.run(
        [node, 0], advanced.plain(model=patched), advanced.plain(), [both, 0]
    )
    assert torch.equal(lora_alone, stock)
    assert not torch.equal(lora_alone, plain)
    assert not torch.equal(lora_alone, with_both)


def test_where_no_step_is_left_the_latent_stays_and_the_mask_is_the_start_mask(advanced: Advanced) -> None:
    nodes = [
        advanced.guided(start_at_step=4),
        advanced.guided(start_at_step=4, start_mask=advanced.rectangle),
    ]
    latent, mask, given, before = advanced.run([nodes[0], 0], [nodes[0], 1], [nodes[1], 1], advanced.latent)
    assert torch.equal(latent, before)
    assert mask.shape == given.shape == (1, 256, 256)
    assert mask.sum() == 0
    assert given.sum() == 128 * 128


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("add_noise", "perhaps"),
        ("return_with_leftover_noise", "perhaps"),
        ("sampler_name", "no_such_sampler"),
        ("scheduler", "no_such_scheduler"),
        ("mode", "slow"),
        ("schedule", "linear"),
        ("normalisation", "l2"),
        ("window_in", "steps"),
        ("decoder", "huge"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_before_anything_runs(
    advanced: Advanced, name: str, value: str
) -> None:
    advanced.graph.save([advanced.guided(**{name: value}), 0])
    with pytest.raises(GraphRefused, match=f"{name} is '{value}'"):
        advanced.graph.run()


def test_an_exchanged_window_is_refused_in_a_sentence(advanced: Advanced) -> None:
    advanced.graph.save([advanced.guided(first_timestep=100.0, last_timestep=600.0), 0])
    with pytest.raises(GraphFailed, match="first timestep is 100 and last timestep is 600"):
        advanced.graph.run()
