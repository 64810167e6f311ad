from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read

BOX = [0.25, 0.5, 0.125, 0.25]
OTHER = [0.5, 0.5, 0.25, 0.25]
FIRST_VERSION = {
    "bboxes": [BOX, OTHER],
    "labels": ["call", "no_gesture"],
    "leading_hand": "right",
    "leading_conf": 1.0,
    "user_id": "u",
}
JOINTS = [[(number + 1) / 64, (number + 2) / 64] for number in range(21)]
SECOND_VERSION = {
    "bboxes": [BOX, OTHER],
    "labels": ["call", "no_gesture"],
    "united_bbox": [[0.25, 0.5, 0.5, 0.25]],
    "united_label": ["call"],
    "user_id": "u",
    "hand_landmarks": [JOINTS, []],
    "meta": {"age": [30.0], "gender": ["male"], "race": ["White"]},
}


def test_all_hands_are_read_those_without_a_gesture_too(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("annotations/train/call.json", {"aa-1": FIRST_VERSION})
    write("call/aa-1.jpg")
    [example] = read("hagrid", tmp_path, problems)
    assert example.picture == tmp_path / "call" / "aa-1.jpg"
    assert example.hands == (tuple(BOX), tuple(OTHER))
    assert (example.faces, example.text, example.unit, example.keypoints) == (None, None, "share", ())
    assert example.in_pixels(example.hands, 800, 400) == ((200, 200, 100, 100), (400, 200, 200, 100))
    assert example.place == "annotations/train/call.json, aa-1"
    assert not problems.lines


@pytest.mark.parametrize("key", ["hand_landmarks", "landmarks"])
def test_the_joints_of_version_2_become_keypoints_and_empty_ones_none(
    tmp_path: Path, write: Callable[..., None], problems: Problems, key: str
) -> None:
    entry = dict(SECOND_VERSION)
    entry[key] = entry.pop("hand_landmarks")
    write("annotations/val/call.json", {"aa": entry})
    write("call/aa.png")
    [example] = read("hagrid", tmp_path, problems)
    [hand] = example.keypoints
    assert list(hand) == ["hand"]
    assert hand["hand"].dtype == np.float32
    np.testing.assert_array_equal(hand["hand"][:, :2], JOINTS)
    np.testing.assert_array_equal(hand["hand"][:, 2], 1)
    assert not problems.lines


@pytest.mark.parametrize("annotations", ["annotations/train/", "annotations/", "ann_train_val/", ""])
@pytest.mark.parametrize(
    "pictures", ["call/", "train/call/", "images/train/call/", "hagridv2_512/call/", "train_val_call/"]
)
@pytest.mark.parametrize("ending", ["jpg", "jpeg", "png", "JPG"])
def test_each_layout_of_the_downloads_is_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems, annotations: str, pictures: str, ending: str
) -> None:
    write(f"{annotations}call.json", {"aa": FIRST_VERSION})
    write(f"{pictures}aa.{ending}")
    [example] = read("hagrid", tmp_path, problems)
    assert example.picture == tmp_path / f"{pictures}aa.{ending}"
    assert not problems.lines


def test_pictures_of_one_name_in_two_gestures_are_told_apart(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("annotations/test/call.json", {"aa": {"bboxes": [BOX]}})
    write("annotations/test/fist.json", {"aa": {"bboxes": [OTHER]}})
    write("call/aa.jpg")
    write("fist/aa.jpg")
    examples = read("hagrid", tmp_path, problems)
    assert [(example.picture.parent.name, example.hands) for example in examples] == [
        ("call", (tuple(BOX),)),
        ("fist", (tuple(OTHER),)),
    ]


def test_what_is_broken_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    entries = {
        "good": SECOND_VERSION,
        "gone": FIRST_VERSION,
        "bare": {"labels": ["call"]},
        "text": "what",
        "odd": {"bboxes": [[0.1, 0.1, float("nan"), 0.1], BOX, [1.5, 0, 0.5, 0.5], [0.9, 0.5, 0.2, 0.2], [0, 0, 0, 1]]},
        "joints": {**SECOND_VERSION, "hand_landmarks": [JOINTS[:20], JOINTS]},
    }
    write("annotations/train/call.json", entries)
    write("annotations/train/fist.json", '{"aa": ')
    write("annotations/train/like.json", {"aa": FIRST_VERSION, "bb": FIRST_VERSION})
    write("annotations/train/rock.json", [1])
    for name in ("good", "bare", "text", "odd", "joints"):
        write(f"call/{name}.jpg")
    examples = {example.picture.stem: example for example in read("hagrid", tmp_path, problems)}
    assert set(examples) == {"good", "odd", "joints"}
    assert examples["odd"].hands[0] == tuple(BOX)
    assert examples["odd"].hands[1] == pytest.approx((0.9, 0.5, 0.1, 0.2))
    assert len(examples["odd"].hands) == 2
    assert len(examples["joints"].keypoints) == 1
    call = "annotations/train/call.json, "
    for kind, place in {
        "missing picture": f"{call}gone",
        "broken box": f"{call}odd",
        "box outside": f"{call}odd",
        "box partly outside": f"{call}odd",
        "box without area": f"{call}odd",
        "broken keypoints": f"{call}joints",
        "missing pictures": "annotations/train/like.json",
    }.items():
        assert problems.counts[kind] == 1
        assert any(line.startswith(f"{kind}: {place}: ") for line in problems.lines)
    assert problems.counts["broken entry"] == 2
    assert problems.counts["broken file"] == 2
    assert sum(problems.counts.values()) == 11
