"""A discriminator that was trained with texts gets the prompt's, where it fits."""

from pathlib import Path

import pytest
import torch
from comfy_graphs import GraphBuilder, told

from fairhands.critic import Critic, CriticConfig, save


def write_critic(folder: Path, text_dimension: int) -> str:
    """A small critic in random weights that judges by texts of that length."""
    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8), text_dimension=text_dimension)).eval()
    name = f"text_{text_dimension}.safetensors"
    save(critic, folder / name, {})
    return name


@pytest.mark.parametrize(
    ("dimension", "source"), [(768, "prompt"), (5, "none: neither prompt nor hand_text has 5 numbers")]
)
def test_the_trace_says_by_which_text_the_critic_judged(
    graph: GraphBuilder, discriminators: Path, hand_picture: str, dimension: int, source: str
) -> None:
    parts = graph.checkpoint()
    start = graph.add("ProbeMask", batch=0, height=8, width=8, top=2, left=2, bottom=6, right=6)
    node = graph.guide_visually(parts, write_critic(discriminators, dimension), start_mask=[start, 0])
    latent = graph.encode(parts, graph.batch(hand_picture))
    sampled = graph.sample(parts | {"model": [node, 0]}, latent)
    trace, _ = graph.plot([node, 1], after=sampled)
    shown = told(graph.run(), trace)
    assert shown["settings"]["critic_text"] == source
    assert any(image["step_rms"] for step in shown["steps"] for image in step["images"])


def test_without_a_fitting_prompt_the_critic_judges_by_the_hand_text(
    graph: GraphBuilder, discriminators: Path, hand_picture: str
) -> None:
    """Guidance differs between two texts, the model's own prompts being the same and without any pooled embedding."""
    parts = graph.checkpoint()
    clip = [parts["model"][0], 1]
    for prompt in ("positive", "negative"):
        parts[prompt] = [graph.add("ProbeUnpooled", conditioning=parts[prompt]), 0]
    start = graph.add("ProbeMask", batch=0, height=8, width=8, top=2, left=2, bottom=6, right=6)
    latent = graph.encode(parts, graph.batch(hand_picture))
    critic, saved, traces = write_critic(discriminators, 768), [], []
    for text in ("a fist", "five fingers"):
        node = graph.guide_visually(parts, critic, start_mask=[start, 0], clip=clip, hand_text=text)
        sampled = graph.sample(parts | {"model": [node, 0]}, latent)
        saved.append(graph.save(sampled))
        traces.append(graph.plot([node, 1], after=sampled)[0])
    run = graph.run()
    assert {told(run, trace)["settings"]["critic_text"] for trace in traces} == {"hand_text"}
    assert not torch.equal(*(graph.saved(name) for name in saved))
