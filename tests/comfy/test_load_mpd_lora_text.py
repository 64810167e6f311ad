"""Load MPD LoRA: what it shows and what it refuses."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import websocket
from architectures import model_parts
from comfy_graphs import GraphBuilder
from guidance_graphs import hand_lora, write_lora
from mpd_lora_graphs import Save, load_lora, loras, save_lora, shown
from test_adapter_files import MANNEQUIN, mannequin_parts
from test_lora_branch import ENCODER, UNMATCHED, Tensors, kohya

from devtools.client import ComfyClient, GraphFailed, GraphRefused
from devtools.server import ComfyServer
from fairhands.adapters import export
from fairhands.base_models import load
from tests.adapters.bases import adapted


@pytest.fixture
def save(server: ComfyServer) -> Save:
    """Write an adapter's file as a trainer does; its name."""
    return partial(save_lora, server.base)


@pytest.fixture
def write(server: ComfyServer) -> Callable[[Tensors], str]:
    """Write tensors as another trainer's file; its name."""
    return partial(write_lora, server.base)


def test_the_page_is_sent_what_the_node_shows(graph: GraphBuilder, client: ComfyClient, save: Save) -> None:
    node = load_lora(graph, mannequin_parts(graph)["model"], save(adapted(load(MANNEQUIN))))
    graph.add("PreviewAny", source=[node, 2])
    page = websocket.create_connection(f"{client.address.replace('http', 'ws', 1)}/ws?clientId=page", timeout=60)
    try:
        graph.run()
        kind = (3).to_bytes(4, "big")  # of messages with a text
        messages = iter(page.recv, None)
        message = next(some for some in messages if isinstance(some, bytes) and some[:4] == kind)
    finally:
        page.close()
    assert b"base: mannequin (mine.safetensors)" in message


@pytest.mark.parametrize(
    ("family", "sentence"),
    [
        ("sd15", "was made for the mannequin model, but the MODEL is SD 1.5: connect the mannequin model, or choose"),
        ("sdxl", "was made for the mannequin model, but the MODEL is SDXL: .* a LoRA that was made for SDXL"),
        ("sd3", "was made for the mannequin model, but the MODEL is SD3: "),
        ("flux", "was made for the mannequin model, but the MODEL is Flux: "),
    ],
)
def test_a_lora_for_another_base_is_refused_in_a_sentence(
    graph: GraphBuilder, save: Save, family: str, sentence: str
) -> None:
    node = load_lora(graph, model_parts(graph, family)["model"], save(adapted(load(MANNEQUIN))))
    graph.add("PreviewAny", source=[node, 2])
    with pytest.raises(GraphFailed, match=rf"mpd_\d+\.safetensors {sentence}") as caught:
        graph.run()
    assert "\n" not in str(caught.value)


def test_off_it_is_refused_by_no_model(graph: GraphBuilder, save: Save) -> None:
    name = save(adapted(load(MANNEQUIN)))
    node = load_lora(graph, model_parts(graph, "sd15")["model"], name, strength_model=0.0, strength_clip=0.0)
    assert shown(graph, node)[-1] == "used: nothing, both strengths are 0"


def test_another_trainers_lora_is_loaded_as_load_lora_does_and_what_it_does_not_say_is_unknown(
    graph: GraphBuilder, write: Callable[[Tensors], str]
) -> None:
    name = write(hand_lora() | {UNMATCHED: torch.zeros(4, 4)} | kohya(ENCODER, 4, 768, 768))
    parts = model_parts(graph, "sd15")
    latent = [graph.add("EmptyLatentImage", width=128, height=128, batch_size=1), 0]
    node = load_lora(graph, parts["model"], name)
    theirs = graph.add("LoraLoaderModelOnly", model=parts["model"], lora_name=name, strength_model=1.0)
    names = [
        graph.save(graph.sample(parts | {"model": model}, latent, denoise=1.0, steps=1))
        for model in ([node, 0], [theirs, 0], parts["model"])
    ]
    assert shown(graph, node) == [
        "base: unknown",
        "rank: 4, text encoders too",
        "trained: by another trainer than FairHands'",
        "used: 3 layers of the model",
        "not used: 1 layers of the text encoders; connect clip to use them",
        f"not used: 1 keys that do not fit this MODEL: {UNMATCHED}",
    ]
    ours, expected, plain = (graph.saved(one) for one in names)
    assert torch.equal(ours, expected)
    assert not torch.equal(ours, plain)


def test_a_layer_of_another_size_is_named_with_the_reason(graph: GraphBuilder, write: Callable[[Tensors], str]) -> None:
    layer = "middle_block_1_transformer_blocks_0_attn2_to_k"
    wrong = kohya(f"lora_unet_{layer}", 4, 128, 999)
    node = load_lora(graph, model_parts(graph, "sd15")["model"], write(hand_lora() | wrong))
    weight = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    assert shown(graph, node)[-2:] == [
        "used: 3 layers of the model",
        f"not used: 1 keys that do not fit this MODEL: {weight} (down is [4, 999], the layer needs [4, 768])",
    ]


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (partial(hand_lora, "flux"), r"is a LoRA of which nothing fits the MODEL, SD 1\.5 \(.*\): choose a LoRA"),
        (lambda: kohya(ENCODER, 4, 768, 768), "changes text encoders alone: connect clip"),
        (lambda: {"zero_convs.0.0.weight": torch.zeros(1)}, "is a ControlNet, expected a LoRA .*: choose another file"),
        (lambda: {"something": torch.zeros(1)}, "is a safetensors file of another kind .* of which nothing fits"),
    ],
)
def test_a_file_with_nothing_for_the_model_is_refused_with_what_it_is(
    graph: GraphBuilder, write: Callable[[Tensors], str], tensors: Callable[[], Tensors], sentence: str
) -> None:
    node = load_lora(graph, model_parts(graph, "sd15")["model"], write(tensors()))
    graph.add("PreviewAny", source=[node, 2])
    with pytest.raises(GraphFailed, match=sentence) as caught:
        graph.run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "sentence"), [(b"", "is empty"), (b"PK\x03\x04pickled", "pickled PyTorch file")])
def test_a_file_that_is_no_safetensors_is_refused(
    graph: GraphBuilder, server: ComfyServer, content: bytes, sentence: str
) -> None:
    name = f"broken_{len(content)}.safetensors"
    (loras(server.base) / name).write_bytes(content)
    graph.add("PreviewAny", source=[load_lora(graph, mannequin_parts(graph)["model"], name), 2])
    with pytest.raises(GraphFailed, match=rf"{name} is .*{sentence}|{name} {sentence}"):
        graph.run()


def test_a_file_that_is_not_there_is_named_with_its_folder(graph: GraphBuilder) -> None:
    graph.add("PreviewAny", source=[load_lora(graph, mannequin_parts(graph)["model"], "gone.safetensors"), 2])
    with pytest.raises(GraphRefused, match=r"lora_name is 'gone\.safetensors', which is not in models/loras/"):
        graph.run()


def test_a_replaced_file_is_loaded_again(graph: GraphBuilder, save: Save, server: ComfyServer) -> None:
    name = save(adapted(load(MANNEQUIN), rank=2))
    node = load_lora(graph, mannequin_parts(graph)["model"], name)
    assert shown(graph, node)[1].startswith("rank: 2,")
    export.save(adapted(load(MANNEQUIN), rank=5), loras(server.base) / name, {})
    graph.prompt.clear()
    node = load_lora(graph, mannequin_parts(graph)["model"], name)
    assert shown(graph, node)[1].startswith("rank: 5,")
