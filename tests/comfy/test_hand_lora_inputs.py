"""What Hand LoRA Guidance makes of its file and its prompt, and what it refuses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import safetensors.torch
import torch
from architectures import Parts, Patch, empty_latent, in_order, lora_guidance, model_parts, sample, with_control_net
from comfy_graphs import GraphBuilder, Link
from guidance_graphs import BLOCK, everywhere, hand_lora, write_lora
from test_lora_branch import ENCODER, UNMATCHED, Tensors, kohya, relative

from devtools.client import GraphFailed, GraphRefused
from devtools.paths import CHECKPOINT
from devtools.server import ComfyServer

Write = Callable[[Tensors], str]


@pytest.fixture
def write(server: ComfyServer) -> Write:
    """Write tensors as a file of the server's loras folder; its name."""
    return partial(write_lora, server.base)


class Encoded:
    """The small SD1.5 with prompts of the stand-in checkpoint's text encoder."""

    def __init__(self, graph: GraphBuilder, *before: Patch):
        self.graph = graph
        self.clip: Link = [graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name), 1]
        prompts = {"positive": self.encode(self.clip), "negative": self.encode(self.clip, "malformed")}
        self.parts = in_order(*before)(graph, model_parts(graph, "sd15") | prompts)
        self.latent = empty_latent(graph, "sd15", batch=1)

    def encode(self, clip: Link, text: str = "a hand") -> Link:
        return [self.graph.add("CLIPTextEncode", clip=clip, text=text), 0]

    def guided(self, name: str, **changes: Any) -> str:
        patched = lora_guidance(name, applies_to="both", **everywhere(self.graph), **changes)
        return self.sampled(patched(self.graph, self.parts))

    def sampled(self, parts: Parts) -> str:
        return self.graph.save(self.graph.sample(parts, self.latent, steps=2, denoise=1.0))


def test_clip_and_prompt_use_the_text_encoders_part(graph: GraphBuilder, write: Write) -> None:
    some = Encoded(graph)
    name = write(hand_lora() | kohya(ENCODER, 4, 768, 768, alpha=4.0))
    loader = graph.add(
        "LoraLoader", model=some.parts["model"], clip=some.clip, lora_name=name, strength_model=1.0, strength_clip=1.0
    )
    with_both = some.parts | {"model": [loader, 0], "positive": some.encode([loader, 1])}
    names = [
        some.guided(name, clip=some.clip, prompt="a hand"),
        some.guided(name),
        some.guided(name, clip=some.clip, prompt=" "),
        some.sampled(with_both),
    ]
    graph.run()
    guided, without, without_prompt, expected = (graph.saved(one) for one in names)
    assert relative(guided, expected) < 1e-4
    assert relative(without, expected) > 1e-3
    assert torch.equal(without_prompt, without)


def test_a_prompt_works_with_a_lora_of_the_network_alone_and_beside_a_control_net(
    graph: GraphBuilder, write: Write, hand_picture: str
) -> None:
    some = Encoded(graph, with_control_net(hand_picture))
    name = write(hand_lora())
    names = [
        some.guided(name),
        some.guided(name, clip=some.clip, prompt="a hand"),
        some.guided(name, clip=some.clip, prompt="five fingers"),
    ]
    graph.run()
    without, same, another = (graph.saved(one) for one in names)
    assert torch.equal(same, without)
    assert relative(another, without) > 1e-3


def test_the_report_names_what_is_not_used(graph: GraphBuilder, write: Write) -> None:
    name = write(hand_lora() | {UNMATCHED: torch.zeros(4, 4)})
    node = graph.guide_by_lora(model_parts(graph, "sd15"), name)
    text = graph.add("PreviewAny", source=[node, 2])
    report = graph.run().outputs[text]["text"][0]
    assert report == f"{name}: 3 layers are used.\n1 keys match nothing in this model: {UNMATCHED}"


def test_a_file_that_is_written_anew_is_read_anew(graph: GraphBuilder, server: ComfyServer, write: Write) -> None:
    name = write(hand_lora())
    node = graph.guide_by_lora(model_parts(graph, "sd15"), name)
    text = graph.add("PreviewAny", source=[node, 2])
    first = graph.run().outputs[text]["text"][0]
    file = server.base / "models" / "loras" / name
    safetensors.torch.save_file(kohya(f"{BLOCK}_attn1_to_q", 4, 128, 128), file)
    assert first == f"{name}: 3 layers are used."
    assert graph.run().outputs[text]["text"][0] == f"{name}: 1 layers are used."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vae": None}, "vae is not connected, and no Hand Visual Guidance or Hand Mask While Sampling comes before"),
        ({"prompt": "a hand"}, "prompt is given, but clip is not connected"),
        ({"first_timestep": 1.0, "last_timestep": 2.0}, "first timestep is 1 and last timestep is 2"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    graph: GraphBuilder, write: Write, changes: dict[str, Any], sentence: str
) -> None:
    sample(graph, "sd15", lora_guidance(write(hand_lora()), **changes))
    with pytest.raises(GraphFailed, match=sentence):
        graph.run()


def test_a_second_hand_lora_is_refused(graph: GraphBuilder, write: Write) -> None:
    lora = lora_guidance(write(hand_lora()))
    sample(graph, "sd15", in_order(lora, lora))
    with pytest.raises(GraphFailed, match="model already has Hand LoRA Guidance: merge the two LoRAs"):
        graph.run()


def test_a_lora_of_another_model_is_refused(graph: GraphBuilder, write: Write) -> None:
    sample(graph, "sd15", lora_guidance(write(hand_lora("flux"))))
    with pytest.raises(GraphFailed, match="the file holds a LoRA of another model, expected a LoRA for this model"):
        graph.run()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lora_name": "none.safetensors"}, "lora_name is 'none.safetensors', which is not in models/loras/"),
        ({"applies_to": "all"}, "applies_to is 'all'"),
        ({"schedule": "steep"}, "schedule is 'steep'"),
    ],
)
def test_names_that_do_not_exist_are_refused_before_anything_runs(
    graph: GraphBuilder, write: Write, changes: dict[str, str], sentence: str
) -> None:
    inputs: dict[str, Any] = {"lora_name": write(hand_lora())} | changes
    sample(graph, "sd15", lora_guidance(**inputs))
    with pytest.raises(GraphRefused, match=sentence):
        graph.run()
