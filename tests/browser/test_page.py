"""The page starts with the pack, and its nodes are found."""

from collections.abc import Callable

import pytest
from comfy_page import ComfyPage

from devtools.client import ComfyClient


def ours(client: ComfyClient) -> dict[str, str]:
    """Display names of the pack's nodes, by type."""
    info = client.get("/object_info")
    return {name: node["display_name"] for name, node in info.items() if name.startswith("FairHands")}


def test_the_page_starts_without_an_error_of_the_pack(open_page: Callable[..., ComfyPage]) -> None:
    assert not open_page().our_errors()


def test_the_page_with_the_new_nodes_starts_without_an_error_of_the_pack(
    open_page: Callable[..., ComfyPage], client: ComfyClient
) -> None:
    """Nodes 2.0, which the page draws as HTML."""
    page = open_page(**{"Comfy.VueNodes.Enabled": True})
    page.clear()
    for node_type in ours(client):
        page.html_node(page.add(node_type)).wait_for()
    assert not page.our_errors()


def test_each_node_can_be_put_on_the_canvas_and_shows_all_its_inputs(
    comfy_page: ComfyPage, client: ComfyClient
) -> None:
    for node_type in ours(client):
        comfy_page.add(node_type)
    shapes = comfy_page.shapes()
    assert [shape["type"] for shape in shapes] == list(ours(client))
    for shape in shapes:
        info = client.get(f"/object_info/{shape['type']}")[shape["type"]]
        assert {*info["input"].get("required", {}), *info["input"].get("optional", {})} <= {*shape["inputs"]}
        assert shape["size"][0] >= shape["needs"][0]
        assert shape["size"][1] >= shape["needs"][1]
    assert not comfy_page.our_errors()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hand", "Hand Visual Guidance"),
        ("hands", "Hand Detection Mask"),
        ("hand mask", "Hand Mask While Sampling"),
        ("hand ksampler", "Hand-Guided KSampler"),
        ("discriminator", "Load Hand Discriminator"),
        ("guidance", "Hand LoRA Guidance"),
        ("mpd", "Load MPD LoRA"),
        ("fairhands", "Guidance Trace Plot"),
    ],
)
def test_the_node_search_finds_a_node_by_words_of_its_name(comfy_page: ComfyPage, words: str, expected: str) -> None:
    offered = comfy_page.search_nodes(words, expected)
    assert offered.index(expected) < 13


@pytest.mark.parametrize("words", ["fix hands", "better hands", "fingers"])
def test_the_node_search_finds_guidance_by_what_an_artist_wants(
    comfy_page: ComfyPage, client: ComfyClient, words: str
) -> None:
    node_type = "FairHandsHandVisualGuidance"
    if "search_aliases" not in client.get(f"/object_info/{node_type}")[node_type]:
        pytest.skip("this ComfyUI searches nodes by their names alone")
    assert "Hand Visual Guidance" in comfy_page.search_nodes(words, "Hand Visual Guidance")
