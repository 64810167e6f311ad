from typing import Any

import pytest
import safetensors.torch
import torch
from comfy_graphs import GraphBuilder, Link, told
from sampler_graphs import STEPS, VISUAL, advanced, plain_advanced

from devtools.client import GraphFailed, GraphRefused
from devtools.server import ComfyServer

# Of 6 steps some here and the rest there, as with a base model and its refiner.
FIRST: dict[str, Any] = {"steps": 6, "start_at_step": 1, "end_at_step": 3, "return_with_leftover_noise": "enable"}
REST: dict[str, Any] = {"steps": 6, "start_at_step": 3, "add_noise": "disable"}
# Settings under which Hand LoRA Guidance finds the same mask.
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


class Sampling:
    """Samplers of the stand-in checkpoint on a picture, in one graph."""

    def __init__(self, graph: GraphBuilder, critic: str, picture: str):
        self.graph = graph
        self.critic = critic
        self.parts = graph.checkpoint()
        self.latent = graph.encode(self.parts, graph.batch(picture))
        # A mask that holds without any detection.
        self.mask = graph.mask(256, 64, 64, 192, 192)

    def guided(self, latent: Link | None = None, **changes: Any) -> str:
        return advanced(self.graph, self.parts, latent or self.latent, self.critic, **changes)

    def plain(self, latent: Link | None = None, **changes: Any) -> Link:
        return plain_advanced(self.graph, self.parts, latent or self.latent, **changes)

    def patched(self, **changes: Any) -> Link:
        return [self.graph.guide_visually(self.parts, self.critic, **(VISUAL | changes)), 0]

    def run(self, *links: Link) -> list[torch.Tensor]:
        names = [self.graph.save(link) for link in links]
        self.graph.run()
        return [self.graph.saved(name) for name in names]


@pytest.fixture
def sampling(graph: GraphBuilder, critic_name: str, hand_picture: str) -> Sampling:
    return Sampling(graph, critic_name, hand_picture)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_with_w_0_two_parts_with_leftover_noise_are_the_advanced_ksamplers_bit_for_bit(
    sampling: Sampling, sampler: str
) -> None:
    first = [sampling.guided(w=0.0, sampler_name=sampler, **FIRST), 0]
    second = [sampling.guided(first, w=0.0, sampler_name=sampler, **REST), 0]
    plain_first = sampling.plain(sampler_name=sampler, **FIRST)
    plain_second = sampling.plain(plain_first, sampler_name=sampler, **REST)
    guided, guided_rest, plain, plain_rest = sampling.run(first, second, plain_first, plain_second)
    assert torch.equal(guided, plain)
    assert torch.equal(guided_rest, plain_rest)
    assert not torch.equal(guided, guided_rest)


def test_without_leftover_noise_a_part_ends_as_the_advanced_ksamplers(sampling: Sampling) -> None:
    part: dict[str, Any] = FIRST | {"return_with_leftover_noise": "disable"}
    guided, plain, with_noise = sampling.run(
        [sampling.guided(w=0.0, **part), 0], sampling.plain(**part), sampling.plain(**FIRST)
    )
    assert torch.equal(guided, plain)
    assert not torch.equal(guided, with_noise)


def test_two_guided_parts_are_the_patched_models_bit_for_bit(sampling: Sampling) -> None:
    first = sampling.guided(start_mask=sampling.mask, **FIRST)
    second = sampling.guided([first, 0], start_mask=[first, 1], **REST)
    stock = sampling.plain(model=sampling.patched(start_mask=sampling.mask), **FIRST)
    stock = sampling.plain(stock, model=sampling.patched(start_mask=[first, 1]), **REST)
    unguided = sampling.plain(sampling.plain(**FIRST), **REST)
    guided, same, plain = sampling.run([second, 0], stock, unguided)
    assert torch.equal(guided, same)
    assert not torch.equal(guided, plain)


def test_with_usual_settings_it_is_the_simple_node_bit_for_bit(sampling: Sampling) -> None:
    usual = {key: VISUAL[key] for key in ("w", "first_timestep", "last_timestep", "detection_threshold")}
    steps = {key: STEPS[key] for key in ("steps", "cfg", "sampler_name", "scheduler")}
    simple = sampling.graph.sample_guided(
        sampling.parts,
        sampling.latent,
        sampling.critic,
        **usual,
        **steps,
        seed=STEPS["noise_seed"],
        denoise=1.0,
        start_mask=sampling.mask,
    )
    node = sampling.guided(start_mask=sampling.mask)
    links = ([node, 0], [simple, 0], [node, 1], [simple, 1], sampling.plain())
    guided, same, mask, same_mask, plain = sampling.run(*links)
    assert torch.equal(guided, same)
    assert torch.equal(mask, same_mask)
    assert not torch.equal(guided, plain)


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
def test_each_setting_does_what_it_does_in_hand_visual_guidance(sampling: Sampling, change: dict[str, Any]) -> None:
    node = sampling.guided(start_mask=sampling.mask, **change)
    stock = sampling.plain(model=sampling.patched(start_mask=sampling.mask, **change))
    text, _ = sampling.graph.plot([node, 2], [node, 0])
    names = [sampling.graph.save(link) for link in ([node, 0], stock)]
    trace = told(sampling.graph.run(), text)
    guided, same = (sampling.graph.saved(name) for name in names)
    assert torch.equal(guided, same)
    key, value = next(iter(change.items()))
    assert trace["settings"].get(key, value) == value
    assert any(image["step_rms"] for step in trace["steps"] for image in step["images"])


def test_a_hand_lora_before_it_stays_in_effect(sampling: Sampling, server: ComfyServer) -> None:
    name = "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    generator = torch.Generator().manual_seed(0)
    lora = {
        f"{name}.lora_down.weight": torch.randn(4, 320, generator=generator) / 320**0.5,
        f"{name}.lora_up.weight": torch.randn(320, 4, generator=generator),
    }
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    safetensors.torch.save_file(lora, folder / "before_advanced.safetensors")
    settings = {key: VISUAL[key] for key in SHARED_WITH_LORA} | {"start_mask": sampling.mask}
    patched = [sampling.graph.guide_by_lora(sampling.parts, "before_advanced.safetensors", **settings), 0]
    lora_alone = sampling.guided(model=patched, start_mask=sampling.mask, w=0.0)
    both = sampling.guided(model=patched, start_mask=sampling.mask)
    links = ([lora_alone, 0], sampling.plain(model=patched), sampling.plain(), [both, 0])
    guided, same, plain, with_both = sampling.run(*links)
    assert torch.equal(guided, same)
    assert not torch.equal(guided, plain)
    assert not torch.equal(guided, with_both)


def test_where_no_step_is_left_the_latent_stays_and_the_mask_is_the_start_mask(sampling: Sampling) -> None:
    nodes = [sampling.guided(start_at_step=4), sampling.guided(start_at_step=4, start_mask=sampling.mask)]
    latent, mask, given, before = sampling.run([nodes[0], 0], [nodes[0], 1], [nodes[1], 1], sampling.latent)
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
    sampling: Sampling, name: str, value: str
) -> None:
    unknown: dict[str, Any] = {name: value}
    sampling.graph.save([sampling.guided(**unknown), 0])
    with pytest.raises(GraphRefused, match=f"{name} is '{value}'"):
        sampling.graph.run()


def test_an_exchanged_window_is_refused_in_a_sentence(sampling: Sampling) -> None:
    sampling.graph.save([sampling.guided(first_timestep=100.0, last_timestep=600.0), 0])
    with pytest.raises(GraphFailed, match="first timestep is 100 and last timestep is 600"):
        sampling.graph.run()
