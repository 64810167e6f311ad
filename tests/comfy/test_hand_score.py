import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder, told
from PIL import Image

from devtools.client import GraphFailed, GraphInterrupted, GraphRefused
from devtools.server import ComfyServer
from fairhands.critic import Critic, CriticConfig, save
from fairhands.data import mannequin

BEST, INDEX, SCORE, ANNOTATED, BOXES, REPORT = range(6)
SIZE = 256


@pytest.fixture(scope="module")
def hands(server: ComfyServer) -> dict[str, str]:
    """Pictures of one hand in the server's input folder, by kind."""
    names = {}
    for kind in ("right", "three_fingers", "six_fingers", "fused"):
        names[kind] = f"score_{kind}.png"
        picture = mannequin.draw(14, SIZE, kind=kind).picture
        Image.fromarray(picture).save(server.base / "input" / names[kind])
    return names


@pytest.fixture(scope="module")
def side_by_side(server: ComfyServer) -> str:
    """A picture with a right hand on the left and one with three fingers on the right."""
    both = [Image.fromarray(mannequin.draw(14, SIZE, kind=kind).picture) for kind in ("right", "three_fingers")]
    joined = Image.new("RGB", (2 * SIZE, SIZE))
    for place, picture in enumerate(both):
        joined.paste(picture, (place * SIZE, 0))
    joined.save(server.base / "input" / "side_by_side.png")
    return "side_by_side.png"


def show(graph: GraphBuilder, node: str, output: int) -> str:
    return graph.add("PreviewAny", source=[node, output])


def pose_on(graph: GraphBuilder, boxes: list[tuple[int, int, int]], pictures: list[str]) -> list[Any]:
    """A BOUNDING_BOX link for these pictures without hands: a square around each x, y and side."""
    people = []
    for x, y, side in boxes:
        joints = [(x + side * (joint % 5) / 4, y + side * (joint // 5) / 4) for joint in range(21)]
        flat = [value for point in joints for value in (*point, 0.9)]
        people.append({"hand_left_keypoints_2d": flat, "hand_right_keypoints_2d": None})
    pose = [{"people": people, "canvas_width": SIZE, "canvas_height": SIZE}]
    posed = graph.add("ProbePose", json=json.dumps(pose))
    node = graph.find_hands(graph.batch(*pictures), pose_keypoint=[posed, 0])
    return [node, 2]


def test_the_right_hand_of_a_batch_is_the_best_wherever_it_stands(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str]
) -> None:
    orders = [["three_fingers", "six_fingers", "right", "fused"], ["right", "fused", "six_fingers", "three_fingers"]]
    nodes = [graph.score_hands(graph.batch(*(hands[kind] for kind in order)), critic_name) for order in orders]
    reports = [show(graph, node, REPORT) for node in nodes]
    indices = [show(graph, node, INDEX) for node in nodes]
    best = graph.save([nodes[0], BEST])
    run = graph.run()
    by_kind = []
    for order, report, index in zip(orders, reports, indices, strict=True):
        shown = told(run, report)
        assert told(run, index) == shown["best"] == order.index("right")
        by_kind.append({kind: image["score"] for kind, image in zip(order, shown["images"], strict=True)})
    assert by_kind[0] == by_kind[1]
    assert by_kind[0].pop("right") > 0.6 > 0.4 > max(by_kind[0].values())
    expected = torch.from_numpy(mannequin.draw(14, SIZE, kind="right").picture) / 255
    assert graph.saved(best).shape == (1, SIZE, SIZE, 3)
    assert torch.equal(graph.saved(best)[0], expected)


def test_what_comes_out_agrees_and_the_node_says_it_in_a_line(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str]
) -> None:
    node = graph.score_hands(graph.batch(hands["fused"], hands["right"]), critic_name)
    annotated = graph.save([node, ANNOTATED])
    score, boxes, report = (show(graph, node, output) for output in (SCORE, BOXES, REPORT))
    run = graph.run()
    shown = told(run, report)
    assert [image["hands"] for image in shown["images"]] == told(run, boxes)
    assert told(run, score) == shown["best_score"] == shown["images"][1]["score"]
    assert shown["ranking"] == [1, 0]
    assert run.outputs[node]["text"] == [f"best: picture 2 of 2, score {shown['best_score']:.2f}"]
    pictures = graph.saved(annotated)
    assert pictures.shape == (2, SIZE, SIZE, 3)
    gold = torch.tensor([255, 200, 40]) / 255
    assert [bool(torch.allclose(picture[0], gold)) for picture in pictures] == [False, True]


@pytest.mark.parametrize("pictures", [["empty.png", "right"], ["right", "empty.png"]])
def test_pictures_without_a_hand_come_last_or_first(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str], empty_picture: str, pictures: list[str]
) -> None:
    batch = graph.batch(*(hands.get(name, name) for name in pictures))
    reports = {
        choice: show(graph, graph.score_hands(batch, critic_name, no_hand=choice), REPORT)
        for choice in ("last", "first")
    }
    run = graph.run()
    assert told(run, reports["last"])["best"] == pictures.index("right")
    assert told(run, reports["first"])["best"] == pictures.index(empty_picture)
    assert told(run, reports["first"])["images"][pictures.index(empty_picture)] == {"score": None, "hands": []}


def test_without_any_hand_the_first_picture_is_taken_and_the_report_says_so(
    graph: GraphBuilder, critic_name: str, empty_picture: str
) -> None:
    node = graph.score_hands(graph.batch(empty_picture, empty_picture), critic_name)
    annotated, report, score = graph.save([node, ANNOTATED]), show(graph, node, REPORT), show(graph, node, SCORE)
    run = graph.run()
    shown = told(run, report)
    assert shown["best"] == 0
    assert shown["notes"] == ["No picture shows a hand, so the first one is taken."]
    assert shown["notes"][0] in run.outputs[node]["text"][0]
    assert told(run, score) == 0.0
    assert graph.saved(annotated).shape == (2, SIZE, SIZE, 3)


def test_a_pictures_score_comes_from_its_hands_as_chosen(
    graph: GraphBuilder, critic_name: str, side_by_side: str
) -> None:
    batch = graph.batch(side_by_side)
    reports = {
        of: show(graph, graph.score_hands(batch, critic_name, image_score=of), REPORT)
        for of in ("worst", "mean", "best")
    }
    run = graph.run()
    images = {of: told(run, report)["images"][0] for of, report in reports.items()}
    scores = {hand["x"] < SIZE: hand["score"] for hand in images["mean"]["hands"]}
    assert scores[True] > 0.6 > 0.4 > scores[False]
    assert images["worst"]["score"] == scores[False]
    assert images["best"]["score"] == scores[True]
    assert images["mean"]["score"] == pytest.approx(sum(scores.values()) / 2)


def test_boxes_of_the_hand_detection_mask_give_the_same_scores_as_looking_for_hands(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str], side_by_side: str
) -> None:
    batch = graph.batch(hands["fused"], hands["right"])
    given = graph.score_hands(batch, critic_name, boxes=[graph.find_hands(batch), 2])
    reports = [show(graph, node, REPORT) for node in (given, graph.score_hands(batch, critic_name))]
    run = graph.run()
    assert told(run, reports[0]) == told(run, reports[1])


def test_boxes_of_one_picture_count_for_all_and_no_hand_is_looked_for_then(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str], empty_picture: str
) -> None:
    boxes = pose_on(graph, [(50, 60, 120)], [empty_picture])
    node = graph.score_hands(graph.batch(empty_picture, hands["right"]), critic_name, boxes=boxes, threshold=1.0)
    report = show(graph, node, REPORT)
    images = told(graph.run(), report)["images"]
    places = [[(hand["x"], hand["y"], hand["side"]) for hand in image["hands"]] for image in images]
    assert places[0] == places[1]
    assert len(places[0]) == 1
    assert images[0]["score"] != images[1]["score"]


def test_given_pictures_without_boxes_have_no_hand(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str], empty_picture: str
) -> None:
    nothing = [graph.find_hands(graph.batch(empty_picture)), 2]
    node = graph.score_hands(graph.batch(hands["right"]), critic_name, boxes=nothing)
    report = show(graph, node, REPORT)
    assert told(graph.run(), report)["images"] == [{"score": None, "hands": []}]


@pytest.mark.parametrize("pictures", [2, 3])
def test_boxes_for_another_number_of_pictures_are_refused_in_a_sentence(
    graph: GraphBuilder, critic_name: str, empty_picture: str, pictures: int
) -> None:
    boxes = [graph.find_hands(graph.batch(*[empty_picture] * pictures)), 2]
    show(graph, graph.score_hands(graph.batch(*[empty_picture] * 4), critic_name, boxes=boxes), REPORT)
    with pytest.raises(GraphFailed, match=f"boxes are for {pictures} pictures, expected 1 or 4"):
        graph.run()


def test_what_is_no_list_of_boxes_is_refused_in_a_sentence(
    graph: GraphBuilder, critic_name: str, empty_picture: str
) -> None:
    text = [graph.add("ProbeAny", text="10, 10, 20, 20"), 0]
    show(graph, graph.score_hands(graph.batch(empty_picture), critic_name, boxes=text), REPORT)
    with pytest.raises(GraphFailed, match="boxes is a str, expected a list of boxes for each picture"):
        graph.run()


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"image_score": "median"}, "image_score is 'median', expected one of worst, mean, best"),
        ({"no_hand": "skip"}, "no_hand is 'skip', expected one of last, first"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_before_anything_runs(
    graph: GraphBuilder, critic_name: str, empty_picture: str, choice: dict[str, str], sentence: str
) -> None:
    show(graph, graph.score_hands(graph.batch(empty_picture), critic_name, **choice), REPORT)
    with pytest.raises(GraphRefused, match=sentence):
        graph.run()


def test_the_index_takes_the_best_latent_out_of_its_batch(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str]
) -> None:
    images = graph.batch(hands["fused"], hands["right"])
    latent = graph.encode(graph.checkpoint(), images)
    node = graph.score_hands(images, critic_name)
    chosen = graph.add("LatentFromBatch", samples=latent, batch_index=[node, INDEX], length=1)
    all_latents, best = graph.save(latent), graph.save([chosen, 0])
    graph.run()
    assert torch.equal(graph.saved(best), graph.saved(all_latents)[1:])


def test_a_discriminator_with_texts_judges_by_the_hand_text(
    graph: GraphBuilder, discriminators: Path, hands: dict[str, str]
) -> None:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8), text_dimension=768)).eval()
    save(critic, discriminators / "score_by_text.safetensors", {})
    image, clip = graph.batch(hands["right"]), [graph.checkpoint()["model"][0], 1]
    texts: list[dict[str, Any]] = [{}, {"clip": clip}]
    texts += [{"clip": clip, "hand_text": text} for text in ("a fist", "five fingers")]
    reports = [show(graph, graph.score_hands(image, "score_by_text.safetensors", **text), REPORT) for text in texts]
    run = graph.run()
    shown = [told(run, report) for report in reports]
    assert [some["judged_by"] == "hand_text" for some in shown] == [False, False, True, True]
    scores = [some["best_score"] for some in shown]
    assert scores[0] == scores[1]
    assert len({*scores}) == 3


def test_an_interrupt_stops_between_pictures_and_the_node_runs_again(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str]
) -> None:
    node = graph.score_hands(graph.batch(*[hands["right"]] * 12), critic_name)
    report = show(graph, node, REPORT)
    with pytest.raises(GraphInterrupted):
        graph.run(interrupt_at_step=1)
    assert len(told(graph.run(), report)["images"]) == 12


def test_the_critic_is_among_comfyuis_models_and_comes_back_after_they_were_unloaded(
    graph: GraphBuilder, critic_name: str, hands: dict[str, str]
) -> None:
    memory = graph.add("PreviewAny", source=[graph.add("ProbeMemory"), 0])  # it runs each time, the others once
    images, counts, shown = graph.batch(hands["fused"], hands["right"]), [loaded_after_unloading(graph, memory)], []
    for threshold in (0.3, 0.31):  # another threshold makes ComfyUI run the node again
        report = show(graph, graph.score_hands(images, critic_name, threshold=threshold), REPORT)
        shown.append(told(graph.run(), report))
        counts.append(told(graph.run(), memory)["loaded"])
        counts.append(loaded_after_unloading(graph, memory))
    assert counts == [0, 1, 0, 1, 0]
    assert shown[0] == shown[1]


def loaded_after_unloading(graph: GraphBuilder, memory: str) -> int:
    """How many models ComfyUI has loaded once it was asked to unload all, which it does before the next but one run."""
    body, kind = json.dumps({"unload_models": True}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(graph.client.address + "/free", data=body, headers=kind, method="POST")
    urllib.request.urlopen(request, timeout=60).close()
    graph.run()
    return told(graph.run(), memory)["loaded"]
