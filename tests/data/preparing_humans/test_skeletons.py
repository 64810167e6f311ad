"""Keypoints of every origin become OpenPose's 18 points in pixels; what is broken is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from fairhands.data.preparing_humans.skeletons import (
    annotated_skeletons,
    body_of_coco,
    file_beside,
    read_skeletons,
)
from fairhands.data.sources.example import Example
from fairhands.data.sources.faults import Fault

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
OPENPOSE = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
BODY_25 = (*OPENPOSE[:8], "middle_of_the_hips", *OPENPOSE[8:], *("foot",) * 6)


def places(names: tuple[str, ...]) -> np.ndarray:
    """A point for each name, which only depends on the name."""
    return np.array([(10.0 + 5 * COCO.index(name), 200.0 - 7 * COCO.index(name), 1) for name in names], np.float32)


def written(folder: Path, content: object) -> Path:
    path = folder / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def person(points: np.ndarray, **more: object) -> dict:
    return {"pose_keypoints_2d": points.reshape(-1).tolist(), **more}


def test_cocos_points_keep_their_names_and_the_neck_is_between_the_shoulders():
    body = body_of_coco(places(COCO))
    wanted = [name for name in OPENPOSE if name != "neck"]
    np.testing.assert_array_equal(np.delete(body, 1, axis=0), places(tuple(wanted)))
    np.testing.assert_allclose(body[1], places(("left_shoulder", "right_shoulder")).mean(axis=0))


def test_without_one_shoulder_there_is_no_neck():
    points = places(COCO)
    points[COCO.index("left_shoulder")] = 0
    assert body_of_coco(points)[1, 2] == 0


def test_annotations_in_shares_become_pixels_and_hands_alone_are_no_pose():
    whole = {"body": np.full((17, 3), 0.5, np.float32), "hand": np.full((21, 3), 0.25, np.float32)}
    example = Example(Path("a.png"), unit="share", keypoints=(whole, {"hand": whole["hand"]}))
    (skeleton,) = annotated_skeletons(example, 100, 60)
    assert skeleton.body is not None
    assert skeleton.body[0].tolist() == [50, 30, 0.5]
    assert [hand[0].tolist() for hand in skeleton.hands] == [[25, 15, 0.25]]


@pytest.mark.parametrize("names", [OPENPOSE, BODY_25, COCO])
def test_bodies_of_17_18_and_25_points_are_the_same_body(names: tuple[str, ...], tmp_path: Path):
    known = tuple(name if name in COCO else "nose" for name in names)
    points = places(known)
    if "neck" in names:
        points[names.index("neck")] = places(("left_shoulder", "right_shoulder")).mean(axis=0)
    (skeleton,) = read_skeletons(written(tmp_path, {"people": [person(points)]}), 300, 300, 0.3)
    assert skeleton.body is not None
    np.testing.assert_allclose(skeleton.body, body_of_coco(places(COCO)))


def test_keypoints_in_pixels_of_another_canvas_and_relative_ones_lie_alike(tmp_path: Path):
    points = np.ones((18, 3), np.float32)
    points[:, :2] = np.linspace(0.1, 0.9, 36).reshape(18, 2)
    hand = np.ones((21, 3), np.float32) * (0.5, 0.25, 1)
    people = []
    for scale, canvas in (((1, 1, 1), {}), ((600, 200, 1), {"canvas_width": 600, "canvas_height": 200})):
        more = {"hand_left_keypoints_2d": (hand * scale).reshape(-1).tolist(), "face_keypoints_2d": None}
        content = [{"people": [person(points * scale, **more)], **canvas}]  # a batch of one, as ComfyUI writes it
        people += read_skeletons(written(tmp_path, content), 300, 400, 0.3)
    np.testing.assert_allclose(people[0].body, people[1].body, rtol=1e-5)
    np.testing.assert_allclose(people[0].body[:, :2], points[:, :2] * (300, 400), rtol=1e-5)
    assert people[0].hands[0][0].tolist() == [150, 100, 1]
    assert people[0].face is None


def test_unsure_points_and_those_at_the_origin_are_not_there(tmp_path: Path):
    points = places(("nose",) * 18)
    points[1, 2], points[2, :2] = 0.2, 0
    (skeleton,) = read_skeletons(written(tmp_path, {"people": [person(points)]}), 300, 300, 0.3)
    assert skeleton.body is not None
    assert skeleton.body[:, 2].tolist() == [1, 0, 0, *[1] * 15]
    assert skeleton.is_there
    (none,) = read_skeletons(written(tmp_path, {"people": [{}]}), 300, 300, 0.3)
    assert not none.is_there


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "0 entries, expected one object for one picture"),
        ([{"people": []}, {"people": []}], "2 entries"),
        ({"bodies": []}, "expected an object with people"),
        ({"people": 3}, "people is 3, expected a list"),
        ({"people": ["someone"]}, "expected an object with pose_keypoints_2d"),
        ({"people": [person(np.zeros((19, 3)))]}, "a body has 19 points, expected 18, 17 or 25"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "holds 2 numbers"),
        ({"people": [{"face_keypoints_2d": [1, None, 1]}]}, "face_keypoints_2d is [1, None, 1]"),
        ({"people": [{"face_keypoints_2d": [1] * 300}]}, "a face has 100 points"),
        ({"people": [{"hand_left_keypoints_2d": [1] * 60}]}, "a hand has 20 points"),
        ({"people": [], "canvas_width": 0}, "the canvas is 0 x None"),
        ({"people": [], "canvas_width": "wide"}, "canvas_width is 'wide'"),
    ],
)
def test_what_is_broken_is_a_fault_that_says_so(content: object, words: str, tmp_path: Path):
    with pytest.raises(Fault) as caught:
        read_skeletons(written(tmp_path, content), 100, 100, 0.3)
    assert words in str(caught.value)


def test_the_files_of_comfyui_and_of_openpose_are_found(tmp_path: Path):
    picture = tmp_path / "a.png"
    assert file_beside(picture) is None
    (tmp_path / "a_keypoints.json").touch()
    assert file_beside(picture) == tmp_path / "a_keypoints.json"
    (tmp_path / "a.json").touch()
    assert file_beside(picture) == tmp_path / "a.json"
