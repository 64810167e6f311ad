"""A graph as ComfyUI's page saves it, turned into the form that the server runs.

The page does this in JavaScript; here it lets the shared graphs in `workflows/` run without a browser.
"""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEED_CHOICES = {"fixed", "increment", "decrement", "randomize"}
NOT_RUN = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


def load(file: Path) -> Json:
    """A saved graph. Raises ValueError where the file holds none."""
    graph = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(graph, dict) or not {"nodes", "links"} <= graph.keys():
        raise ValueError(f"{file} is no saved graph of ComfyUI's page: expected an object with `nodes` and `links`.")
    return graph


def to_prompt(graph: Json, object_info: Json) -> Json:
    """The API form of a saved graph: node id -> class_type and inputs.

    `object_info`: the server's description of its nodes (`GET /object_info`).
    Raises ValueError for a node that the server lacks or that is muted or bypassed.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt: Json = {}
    for node in graph["nodes"]:
        if node["type"] in NOT_RUN:
            continue
        if node["type"] not in object_info:
            raise ValueError(f"The graph's node {node['id']} is a {node['type']}, which the server does not have.")
        if node.get("mode", 0) in (MUTED, BYPASSED):
            raise ValueError(f"The graph's node {node['id']} ({node['type']}) is muted or bypassed.")
        inputs = _widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                inputs[slot["name"]] = sources[slot["link"]]
        title = {"title": node.get("title", node["type"])}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": title}
    return prompt


def by_title(prompt: Json, title: str) -> str:
    """The id of the one node with that title. Raises KeyError where there is none or several."""
    found = [node_id for node_id, node in prompt.items() if node["_meta"]["title"] == title]
    if len(found) != 1:
        raise KeyError(f"{len(found)} nodes have the title {title!r}, expected one.")
    return found[0]


def _widget_values(node: Json, description: Json) -> Json:
    values = list(node.get("widgets_values", []))
    inputs: Json = {}
    for name, specification in _inputs(description):
        kind, options = specification[0], specification[1] if len(specification) > 1 else {}
        if not _has_widget(kind, options) or not values:
            continue
        inputs[name] = values.pop(0)
        if values and _has_seed_choice(name, kind, options) and values[0] in SEED_CHOICES:
            values.pop(0)
    return inputs


def _inputs(description: Json) -> list[tuple[str, list[Any]]]:
    order = description["input_order"]
    return [
        (name, description["input"][group][name]) for group in ("required", "optional") for name in order.get(group, [])
    ]


def _has_widget(kind: Any, options: Json) -> bool:
    return (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput")


def _has_seed_choice(name: str, kind: Any, options: Json) -> bool:
    return bool(options.get("control_after_generate")) or (kind == "INT" and name in ("seed", "noise_seed"))
