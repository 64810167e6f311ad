import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
import websocket
from comfy_graphs import GraphBuilder
from transformers import ViTConfig, ViTModel

from devtools.client import ComfyClient, GraphFailed, GraphRefused
from devtools.paths import CRITIC
from fairhands.critic import Critic, CriticConfig, describe, save
from fairhands.critic.pretrained import pretrained


def load(graph: GraphBuilder, name: str) -> str:
    node = graph.add("FairHandsLoadHandDiscriminator", discriminator=name)
    return graph.add("PreviewAny", source=[node, 1])


def works(graph: GraphBuilder) -> bool:
    """Whether a good file still loads on the same server."""
    graph.prompt.clear()
    preview = load(graph, CRITIC.name)
    return "held_out" in graph.run().outputs[preview]["text"][0]


def test_a_trained_file_is_loaded_and_its_summary_shown(graph: GraphBuilder) -> None:
    preview = load(graph, CRITIC.name)
    summary = json.loads(graph.run().outputs[preview]["text"][0])
    assert summary["seed"] == 0


def test_the_node_says_in_a_few_lines_what_the_file_is(graph: GraphBuilder, discriminators: Path) -> None:
    shutil.copy(CRITIC, discriminators / "described.safetensors")
    node = graph.add("FairHandsLoadHandDiscriminator", discriminator="described.safetensors")
    graph.add("PreviewAny", source=[node, 1])
    (text,) = graph.run().outputs[node]["text"]
    description = describe(CRITIC)
    figures = description.summary["held_out"]
    assert text.splitlines() == [
        "network: conv, 64 px, judges without texts",
        f"trained on: {description.summary['data']}, steps {description.summary['steps']}, seed 0",
        f"held out: accuracy {figures['accuracy']:.3f}, AUC {figures['auc']:.3f}",
        f"licence: {description.licence}",
    ]


def test_the_page_is_sent_that_text_for_the_node(
    graph: GraphBuilder, discriminators: Path, client: ComfyClient
) -> None:
    shutil.copy(CRITIC, discriminators / "shown.safetensors")
    load(graph, "shown.safetensors")
    page = websocket.create_connection(f"{client.address.replace('http', 'ws', 1)}/ws?clientId=page", timeout=60)
    try:
        graph.run()
        messages = iter(page.recv, None)
        kind = (3).to_bytes(4, "big")  # of messages with a text, as ComfyUI's page knows it
        message = next(some for some in messages if isinstance(some, bytes) and some[:4] == kind)
    finally:
        page.close()
    assert message[4:9] == len("1").to_bytes(4, "big") + b"1"
    assert message[9:].startswith(b"network: conv, 64 px")


def tiny_transformer(folder: Path) -> Critic:
    """A critic on a vision transformer with random weights."""
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**shape, image_size=32, patch_size=8), add_pooling_layer=False).save_pretrained(folder)
    transformer, weights = pretrained(str(folder))
    critic = Critic(CriticConfig("vit", 32, transformer=transformer))
    critic.backbone.fill(weights)
    return critic


@pytest.mark.parametrize("backbone", ["conv", "vit"])
def test_where_memory_is_short_a_critic_is_on_its_device_whole(
    graph: GraphBuilder, discriminators: Path, tmp_path: Path, backbone: str
) -> None:
    small = Critic(CriticConfig(input_size=16, widths=(4, 8)))
    critic = tiny_transformer(tmp_path / "tiny") if backbone == "vit" else small
    save(critic, discriminators / f"{backbone}.safetensors", {})
    node = graph.add("FairHandsLoadHandDiscriminator", discriminator=f"{backbone}.safetensors")
    probe = graph.add("ProbeDevices", discriminator=[node, 0])
    preview = graph.add("PreviewAny", source=[probe, 0])
    assert json.loads(graph.run().outputs[preview]["text"][0]) == ["meta"]


@pytest.mark.parametrize("summary", [{}, {"held_out": [1], "data": {"pairs": None}, "steps": "many"}])
def test_a_file_that_says_little_of_its_training_loads_too(
    graph: GraphBuilder, discriminators: Path, summary: dict[str, object]
) -> None:
    save(Critic(CriticConfig(input_size=16, widths=(4, 8))), discriminators / "terse.safetensors", summary)
    node = graph.add("FairHandsLoadHandDiscriminator", discriminator="terse.safetensors")
    graph.add("PreviewAny", source=[node, 1])
    (text,) = graph.run().outputs[node]["text"]
    assert "16 px" in text
    assert "trained on: unknown\nheld out: unknown\n" in text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("truncated.safetensors", "truncated"),
        ("pickled.pt", "pickled"),
        ("pickled.safetensors", "pickled"),
        ("lora.safetensors", "LoRA"),
        ("empty.safetensors", "empty"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence_and_the_server_goes_on(
    graph: GraphBuilder, discriminators: Path, name: str, sentence: str
) -> None:
    file = discriminators / name
    if name.startswith("truncated"):
        file.write_bytes(CRITIC.read_bytes()[: CRITIC.stat().st_size // 2])
    elif name.startswith("pickled"):
        torch.save({"weight": torch.zeros(3)}, file)
    elif name.startswith("lora"):
        safetensors.torch.save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 4)}, file)
    else:
        file.write_bytes(b"")
    load(graph, name)
    with pytest.raises(GraphFailed, match=f"(?i){sentence}") as caught:
        graph.run()
    assert "\n" not in str(caught.value)
    assert works(graph)


def test_a_file_that_is_not_there_is_named_with_its_folder(graph: GraphBuilder) -> None:
    load(graph, "gone.safetensors")
    with pytest.raises(GraphRefused, match=r"gone\.safetensors is not in models/hand_discriminators"):
        graph.run()


def test_a_replaced_file_is_loaded_again(graph: GraphBuilder, discriminators: Path) -> None:
    file = discriminators / "replaced.safetensors"
    shutil.copy(CRITIC, file)
    load(graph, file.name)
    graph.run()
    file.write_bytes(b"not a discriminator")
    with pytest.raises(GraphFailed):
        graph.run()
