import json
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder

from devtools.client import GraphFailed
from fairhands.data import mannequin


def boxes_of(graph: GraphBuilder, node: str) -> str:
    return graph.add("PreviewAny", source=[node, 2])


def shown(run: Any, preview: str) -> Any:
    return json.loads(run.outputs[preview]["text"][0])


def test_a_hand_gives_its_mask_its_box_and_a_count_of_one(graph: GraphBuilder, hand_picture: str) -> None:
    node = graph.find_hands(graph.batch(hand_picture))
    mask, boxes, count = graph.save([node, 0]), boxes_of(graph, node), graph.add("PreviewAny", source=[node, 3])
    run = graph.run()
    truth = torch.from_numpy(mannequin.draw(13, 256, kind="right").mask)
    found = graph.saved(mask)[0] > 0.5
    assert (truth & found).sum() / truth.sum() > 0.7
    (box,) = shown(run, boxes)[0]
    assert box["width"] > 40
    assert box["side"] in ("left", "right")
    assert shown(run, count) == 1


def test_without_a_hand_the_mask_is_empty_and_the_count_zero(graph: GraphBuilder, empty_picture: str) -> None:
    node = graph.find_hands(graph.batch(empty_picture))
    mask, boxes = graph.save([node, 0]), boxes_of(graph, node)
    run = graph.run()
    assert graph.saved(mask).shape == (1, 256, 256)
    assert graph.saved(mask).sum() == 0
    assert shown(run, boxes) == [[]]


def test_in_a_batch_of_three_only_the_picture_with_a_hand_has_a_mask(
    graph: GraphBuilder, hand_picture: str, empty_picture: str
) -> None:
    node = graph.find_hands(graph.batch(empty_picture, hand_picture, empty_picture))
    mask, preview = graph.save([node, 0]), graph.save([node, 1])
    graph.run()
    assert [bool(part.any()) for part in graph.saved(mask)] == [False, True, False]
    assert graph.saved(preview).shape == (3, 256, 256, 3)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_mask_of_another_size_is_joined(graph: GraphBuilder, empty_picture: str, batch: int) -> None:
    extra = graph.add("ProbeMask", batch=batch, height=64, width=128, top=0, left=0, bottom=32, right=64)
    node = graph.find_hands(graph.batch(empty_picture, empty_picture), mask=[extra, 0])
    mask = graph.save([node, 0])
    graph.run()
    for part in graph.saved(mask):
        assert part[:120, :120].min() == 1
        assert part[136:].max() == 0


def test_masks_for_another_number_of_pictures_are_refused_in_a_sentence(
    graph: GraphBuilder, empty_picture: str
) -> None:
    extra = graph.add("ProbeMask", batch=3, height=64, width=64, top=0, left=0, bottom=8, right=8)
    node = graph.find_hands(graph.batch(empty_picture, empty_picture), mask=[extra, 0])
    graph.save([node, 0])
    with pytest.raises(GraphFailed, match="mask is for 3 pictures, expected 1 or 2"):
        graph.run()


def test_hands_of_a_pose_are_joined(graph: GraphBuilder, empty_picture: str) -> None:
    joints = [value for joint in range(21) for value in (20 + joint, 40 + joint % 5 * 8, 0.9)]
    person = {"hand_left_keypoints_2d": joints, "hand_right_keypoints_2d": None}
    pose = [{"people": [person], "canvas_width": 128, "canvas_height": 128}]
    posed = graph.add("ProbePose", json=json.dumps(pose))
    node = graph.find_hands(graph.batch(empty_picture), pose_keypoint=[posed, 0])
    mask, boxes = graph.save([node, 0]), boxes_of(graph, node)
    run = graph.run()
    (box,) = shown(run, boxes)[0]
    # The joints span 40 x 64 pixels at (40, 80); the box holds the flesh around them too.
    assert box["x"] <= 40
    assert box["y"] <= 80
    assert 40 <= box["width"] <= 80
    assert 64 <= box["height"] <= 104
    assert box["side"] == "left"
    assert graph.saved(mask)[0, 90:130, 50:70].min() == 1


def test_what_another_packs_detector_found_is_joined(graph: GraphBuilder, empty_picture: str) -> None:
    segs = graph.add("ProbeSegs", height=128, width=128, top=10, left=20, bottom=50, right=60)
    node = graph.find_hands(graph.batch(empty_picture), segs=[segs, 0])
    mask = graph.save([node, 0])
    graph.run()
    found = graph.saved(mask)[0]
    scale = found.shape[0] / 128
    top, bottom, left, right = (round(side * scale) for side in (10, 50, 20, 60))
    assert found[top + 2 : bottom - 2, left + 2 : right - 2].min() == 1
    assert found.mean() == pytest.approx(40 * 40 / 128**2, rel=0.05)
