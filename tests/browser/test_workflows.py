"""The shared graphs as the page shows them."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from comfy_page import ComfyPage

from devtools import graph
from devtools.paths import ROOT

# Below it the page draws no text.
SMALLEST_SCALE = 0.6
GRAPHS = sorted((ROOT / "workflows").glob("*.json"))
TITLE_HEIGHT = 30


@pytest.mark.parametrize("file", GRAPHS, ids=lambda file: file.stem)
def test_a_shared_graph_opens_from_the_template_browser_as_it_was_saved(file: Path, comfy_page: ComfyPage) -> None:
    comfy_page.open_template("fairhands", file.stem)
    saved, shown = graph.load(file), comfy_page.saved()
    assert not comfy_page.page.locator(".comfy-missing-nodes").is_visible()
    assert kept(shown) == kept(saved)
    assert wires(shown) == wires(saved)
    shapes = comfy_page.shapes()
    assert not overlapping(shapes)
    assert not [shape["title"] for shape in shapes if shape["size"][0] < shape["needs"][0] - 1]
    assert not [shape["title"] for shape in shapes if shape["size"][1] < shape["needs"][1] - 1]
    assert not comfy_page.our_errors()


@pytest.mark.parametrize("file", GRAPHS, ids=lambda file: file.stem)
def test_a_shared_graph_opens_where_its_note_can_be_read(file: Path, comfy_page: ComfyPage) -> None:
    comfy_page.load(graph.load(file))
    assert comfy_page.scale() >= SMALLEST_SCALE
    (note,) = [shape for shape in comfy_page.shapes() if shape["type"] == "MarkdownNote"][:1]
    assert comfy_page.on_canvas(note)


def kept(saved: dict[str, Any]) -> dict[int, Any]:
    """What must not change when the page reads a graph and writes it again: type and widgets of each node."""
    return {node["id"]: (node["type"], node.get("widgets_values") or []) for node in saved["nodes"]}


def wires(saved: dict[str, Any]) -> set[tuple[int, int, int, str]]:
    """Each link's source, slot and target, with the target's input by name: the page orders inputs anew."""
    nodes = {node["id"]: node for node in saved["nodes"]}
    return {
        (source, slot, target, nodes[target]["inputs"][target_slot]["name"])
        for _, source, slot, target, target_slot, *_ in saved["links"]
    }


def overlapping(shapes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Titles of nodes that lie over each other."""
    return [
        (some["title"], other["title"])
        for some, other in itertools.combinations(shapes, 2)
        if all(start < other_end and other_start < end for (start, end), (other_start, other_end) in sides(some, other))
    ]


def sides(some: dict[str, Any], other: dict[str, Any]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """For x and y: where each of two nodes begins and ends."""
    return list(zip(extent(some), extent(other), strict=True))


def extent(shape: dict[str, Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    (x, y), (width, height) = shape["pos"], shape["size"]
    return (x, x + width), (y - TITLE_HEIGHT, y + height)
