"""The shared graphs as files: what they hold, and how they are laid out. test_workflow_runs runs them."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shared_graphs import FILES, FOLDERS

from devtools import demo, graph
from devtools.client import ComfyClient
from devtools.server import ComfyServer
from fairhands.critic.training import settings as discriminator
from fairhands.data import mannequin
from trainers import hand_lora, mpd_controlnet, mpd_lora

NOTE = "MarkdownNote"
TITLE_HEIGHT, SLOT_HEIGHT, WIDGET_HEIGHT = 30, 20, 24
Box = tuple[float, float, float, float]

each_graph = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def box(node: dict[str, Any]) -> Box:
    """Left, top, right and bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE_HEIGHT, left + width, top + height


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def group_box(group: dict[str, Any]) -> Box:
    left, top, width, height = group["bounding"]
    return left, top, left + width, top + height


def widgets(description: dict[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The inputs of a node that are set at the node itself: kind and options by name."""
    found = {}
    for inputs in description["input"].values():
        for name, specification in inputs.items():
            kind, options = specification[0], specification[1] if len(specification) > 1 else {}
            if isinstance(kind, list) or kind in graph.WIDGET_TYPES:
                found[name] = kind, options
    return found


def fits(value: Any, kind: Any, options: dict[str, Any]) -> bool:
    """Whether a widget can hold the value; a file that an artist brings need not be there."""
    if isinstance(value, list):
        return True
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices is not None:
        return value in choices or str(value).endswith(".safetensors")
    if kind in ("INT", "FLOAT"):
        wanted = (int,) if kind == "INT" else (int, float)
        return type(value) in wanted and options.get("min", value) <= value <= options.get("max", value)
    return type(value) is {"STRING": str, "BOOLEAN": bool}[kind]


def test_the_graphs_are_those_of_the_template_browser(client: ComfyClient) -> None:
    assert sorted(client.get("/api/workflow_templates")["fairhands"]) == [file.stem for file in FILES]


@each_graph
def test_the_template_browser_gets_each_graph_and_its_thumbnail(file: Path, client: ComfyClient) -> None:
    template = f"/api/workflow_templates/fairhands/{file.stem}"
    assert client.get(f"{template}.json") == graph.load(file)
    with urllib.request.urlopen(f"{client.address}{template}.jpg") as answer, Image.open(answer) as thumbnail:
        assert answer.headers.get_content_type() == "image/jpeg"
        assert thumbnail.size == (512, 512)
    assert file.with_suffix(".jpg").stat().st_size < 150_000


@each_graph
def test_each_shared_graph_uses_nodes_that_exist_and_links_that_fit(file: Path, client: ComfyClient) -> None:
    object_info = client.get("/object_info")
    saved = graph.load(file)
    prompt = graph.to_prompt(saved, object_info)
    for node in prompt.values():
        required = object_info[node["class_type"]]["input"].get("required", {})
        assert required.keys() <= node["inputs"].keys()
    nodes = {node["id"]: node for node in saved["nodes"]}
    for link, source, slot, target, target_slot, kind in saved["links"]:
        output, end = nodes[source]["outputs"][slot], nodes[target]["inputs"][target_slot]
        assert link in output["links"]
        assert link == end["link"]
        assert kind == "*" or output["type"] == kind
        assert end["type"] in (kind, "*")


@each_graph
def test_each_shared_graph_sets_every_widget_to_what_it_can_hold(file: Path, client: ComfyClient) -> None:
    object_info = client.get("/object_info")
    for node in graph.to_prompt(graph.load(file), object_info).values():
        wanted = widgets(object_info[node["class_type"]])
        if node["class_type"] == "LoadImage":
            wanted.pop("image")
        for name, (kind, options) in wanted.items():
            title = node["_meta"]["title"]
            assert name in node["inputs"], f"{title}: {name} is not set"
            assert fits(node["inputs"][name], kind, options), f"{title}: {name} is {node['inputs'][name]!r}"


@each_graph
def test_no_two_nodes_overlap_and_each_lies_in_one_group_or_is_a_note(file: Path) -> None:
    saved = graph.load(file)
    nodes, groups = saved["nodes"], [group_box(group) for group in saved["groups"]]
    boxes = [box(node) for node in nodes]
    for at, node in enumerate(nodes):
        under = [nodes[place]["type"] for place in range(at) if overlap(boxes[at], boxes[place])]
        assert not under, f"{node['type']} lies over {under}"
        around = [group for group in groups if overlap(group, boxes[at])]
        if node["type"] == NOTE:
            assert not around
        else:
            assert len(around) == 1
            assert holds(around[0], boxes[at])
    assert not any(overlap(one, other) for at, one in enumerate(groups) for other in groups[:at])


@each_graph
def test_each_node_is_large_enough_for_its_slots_and_widgets(file: Path) -> None:
    for node in graph.load(file)["nodes"]:
        sockets = [slot for slot in node.get("inputs", []) if "widget" not in slot]
        slots = max(len(sockets), len(node.get("outputs", [])))
        height = SLOT_HEIGHT * slots + WIDGET_HEIGHT * len(node.get("widgets_values") or [])
        assert node["size"][1] >= height, f"{node.get('title', node['type'])}: {node['size']}"
        assert node["size"][0] >= 200


@each_graph
def test_each_link_leads_to_a_group_at_the_right_or_to_the_same_one(file: Path) -> None:
    saved = graph.load(file)
    groups = [group_box(group) for group in saved["groups"]]
    left = {node["id"]: next((g[0] for g in groups if holds(g, box(node))), 0) for node in saved["nodes"]}
    for _, source, _, target, *_ in saved["links"]:
        assert left[source] <= left[target]


@each_graph
def test_notes_say_what_to_do_and_name_each_file_that_an_artist_brings(file: Path, client: ComfyClient) -> None:
    saved = graph.load(file)
    notes = "\n".join(node["widgets_values"][0] for node in saved["nodes"] if node["type"] == NOTE)
    assert notes.startswith("## ")
    assert "press **run**" in notes.lower()
    for node in graph.to_prompt(saved, client.get("/object_info")).values():
        assert "**download_missing**" in notes or "download_missing" not in node["inputs"]
        for name, folder in FOLDERS.items():
            value = node["inputs"].get(name)
            if isinstance(value, str) and file.stem != "mannequin_demo":
                assert f"models/{folder}/" in notes
                assert name == "ckpt_name" or value in notes


def test_files_of_the_trainers_have_the_names_that_the_trainers_give(client: ComfyClient) -> None:
    control = mpd_controlnet.Settings(base="mine.safetensors").file.name
    made = {discriminator.FILE, hand_lora.FILE, mpd_lora.FILE, control}
    named = set()
    for file in FILES:
        if file.stem != "mannequin_demo":
            for node in graph.to_prompt(graph.load(file), client.get("/object_info")).values():
                named |= {value for name in FOLDERS if isinstance(value := node["inputs"].get(name), str)}
    checkpoints = {"v1-5-pruned-emaonly-fp16.safetensors", "sd_xl_base_1.0.safetensors"}
    assert named == made | checkpoints


def test_the_demo_mends_a_picture_and_reports_what_it_did(
    client: ComfyClient, server: ComfyServer, tmp_path: Path
) -> None:
    drawn = mannequin.draw(5, 256, hands=1, kind="right")
    picture = Image.fromarray(drawn.picture)
    prompt, run = demo.mend(client, picture, tmp_path)
    report = demo.report(client, server.comfyui, "drawn", prompt, run)
    assert report["outside_max_abs_diff"] == 0
    assert report["comfyui_version"]
    (hand,) = report["hands"]
    x, y, width, height = hand["box"]
    true_x, true_y, true_width, true_height = drawn.boxes[0]
    assert abs(x + width / 2 - true_x - true_width / 2) < 0.2 * true_width
    assert abs(y + height / 2 - true_y - true_height / 2) < 0.2 * true_height
    assert 0.05 < report["mask_area"] < 0.8
    assert report["seconds"]["guided_sampling"] > 0
    json.dumps(report)
    pictures = {title: run.outputs[graph.by_title(prompt, title)]["images"] for title in demo.PICTURES.values()}
    assert all(len(images) == 1 for images in pictures.values())


def test_the_demo_on_a_picture_without_hands_leaves_it_as_it_is(
    client: ComfyClient, server: ComfyServer, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (256, 192), (120, 90, 60))
    prompt, run = demo.mend(client, picture, tmp_path)
    report = demo.report(client, server.comfyui, "grey", prompt, run)
    assert report["hands"] == []
    assert report["mask_area"] == 0
    guided = client.file(run.outputs[graph.by_title(prompt, "Guided picture")]["images"][0])
    (tmp_path / "guided.png").write_bytes(guided)
    with Image.open(tmp_path / "guided.png") as result:
        assert result.convert("RGB").tobytes() == picture.tobytes()
