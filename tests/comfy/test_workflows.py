import json
from pathlib import Path

import pytest
from PIL import Image

from devtools import demo, graph
from devtools.client import ComfyClient
from devtools.paths import ROOT
from devtools.server import ComfyServer
from fairhands.data import mannequin

GRAPHS = sorted((ROOT / "workflows").glob("*.json"))


@pytest.mark.parametrize("file", GRAPHS, ids=lambda file: file.stem)
def test_each_shared_graph_uses_nodes_that_exist_and_links_that_fit(file: Path, client: ComfyClient) -> None:
    object_info = client.get("/object_info")
    saved = graph.load(file)
    prompt = graph.to_prompt(saved, object_info)
    for node in prompt.values():
        required = object_info[node["class_type"]]["input"].get("required", {})
        assert required.keys() <= node["inputs"].keys()
    nodes = {node["id"]: node for node in saved["nodes"]}
    for _, source, slot, target, target_slot, kind in saved["links"]:
        assert nodes[source]["outputs"][slot]["type"] == kind or kind == "*"
        assert nodes[target]["inputs"][target_slot]["type"] == kind


@pytest.mark.parametrize("file", GRAPHS, ids=lambda file: file.stem)
def test_each_shared_graph_has_a_thumbnail(file: Path) -> None:
    with Image.open(file.with_suffix(".jpg")) as thumbnail:
        assert min(thumbnail.size) >= 256


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
