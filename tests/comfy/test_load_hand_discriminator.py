import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from comfy_graphs import GraphBuilder

from devtools.client import GraphFailed, GraphRefused
from devtools.paths import CRITIC


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
