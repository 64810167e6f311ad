import json
from pathlib import Path
from typing import Any

import pytest

from devtools import graph

OBJECT_INFO: dict[str, Any] = {
    "Loader": {"input": {"required": {"name": [["a.png", "b.png"], {}]}}, "input_order": {"required": ["name"]}},
    "Sampler": {
        "input": {
            "required": {"image": ["IMAGE", {}], "seed": ["INT", {"control_after_generate": True}]},
            "optional": {"size": ["INT", {}], "mode": ["COMBO", {"options": ["x", "y"]}]},
        },
        "input_order": {"required": ["image", "seed"], "optional": ["size", "mode"]},
    },
}


def saved_graph() -> dict[str, Any]:
    return {
        "nodes": [
            {"id": 1, "type": "Loader", "title": "The picture", "widgets_values": ["b.png", "image"], "inputs": []},
            {
                "id": 2,
                "type": "Sampler",
                "widgets_values": [7, "randomize", 64, "y"],
                "inputs": [
                    {"name": "image", "type": "IMAGE", "link": 5},
                    {"name": "size", "type": "INT", "link": None},
                ],
            },
            {"id": 3, "type": "Note", "widgets_values": ["how to"], "inputs": []},
        ],
        "links": [[5, 1, 0, 2, 0, "IMAGE"]],
    }


def test_links_and_widgets_reach_their_inputs_and_notes_are_left_out() -> None:
    prompt = graph.to_prompt(saved_graph(), OBJECT_INFO)
    assert prompt["1"]["inputs"] == {"name": "b.png"}
    assert prompt["2"]["inputs"] == {"image": ["1", 0], "seed": 7, "size": 64, "mode": "y"}
    assert prompt.keys() == {"1", "2"}


def test_a_linked_widget_takes_the_link() -> None:
    saved = saved_graph()
    saved["nodes"][1]["inputs"][1]["link"] = 5
    assert graph.to_prompt(saved, OBJECT_INFO)["2"]["inputs"]["size"] == ["1", 0]


def test_a_node_that_the_server_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="node 2 is a Sampler"):
        graph.to_prompt(saved_graph(), {"Loader": OBJECT_INFO["Loader"]})


def test_a_muted_node_is_named() -> None:
    saved = saved_graph()
    saved["nodes"][0]["mode"] = 2
    with pytest.raises(ValueError, match=r"node 1 \(Loader\) is muted"):
        graph.to_prompt(saved, OBJECT_INFO)


def test_a_node_is_found_by_its_title() -> None:
    prompt = graph.to_prompt(saved_graph(), OBJECT_INFO)
    assert graph.by_title(prompt, "The picture") == "1"
    with pytest.raises(KeyError, match="0 nodes"):
        graph.by_title(prompt, "no such title")


def test_a_file_without_a_graph_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps({"1": {}}))
    with pytest.raises(ValueError, match="no saved graph"):
        graph.load(file)
