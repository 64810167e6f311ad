from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read

COUNTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
NOTHING = [0.0, 0.0, 0.0, 0.0]


def triples(count: int, offset: float = 0) -> list[float]:
    return [value for number in range(count) for value in (offset + number, offset + number + 0.5, 2)]


def person(image: int, **changed: Any) -> dict[str, Any]:
    """Someone of whom all but the right hand was annotated."""
    entry: dict[str, Any] = {key: triples(count) for key, count in COUNTS.items()}
    entry |= {"image_id": image, "id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 99, 99], "area": 9801}
    entry |= {"face_box": [40, 5, 20, 20], "lefthand_box": [10, 30, 15, 16], "righthand_box": NOTHING}
    entry |= {"face_valid": True, "lefthand_valid": True, "righthand_valid": False, "foot_valid": True}
    entry["righthand_kpts"] = [0] * 63
    return entry | changed


def picture(number: int) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number:012}.jpg", "width": 100, "height": 200, "coco_url": "http://x"}


@pytest.mark.parametrize("pictures", ["val2017/", "images/val2017/", "images/", ""])
@pytest.mark.parametrize("annotations", ["annotations/", ""])
def test_hands_faces_and_keypoints_of_all_people_are_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems, pictures: str, annotations: str
) -> None:
    other = person(7, righthand_valid=True, righthand_box=[50, 60, 7, 8], lefthand_valid=False, face_valid=False)
    content = {"images": [picture(7)], "annotations": [person(7), other], "categories": []}
    write(f"{annotations}coco_wholebody_val_v1.0.json", content)
    write(f"{pictures}{7:012}.jpg")
    [example] = read("coco_wholebody", tmp_path, problems)
    assert example.picture == tmp_path / f"{pictures}{7:012}.jpg"
    assert example.hands == ((10, 30, 15, 16), (50, 60, 7, 8))
    assert example.faces == ((40, 5, 20, 20),)
    assert example.unit == "pixels"
    assert [list(keypoints) for keypoints in example.keypoints] == [
        ["body", "feet", "face", "left_hand"],
        ["body", "feet"],
    ]
    for part, count in {"body": 17, "feet": 6, "face": 68, "left_hand": 21}.items():
        keypoints = example.keypoints[0][part]
        assert (keypoints.shape, keypoints.dtype) == ((count, 3), np.float32)
        np.testing.assert_array_equal(keypoints.ravel(), triples(count))
    assert not problems.lines


def test_train_and_val_are_looked_for_in_their_own_folders(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    for split in ("train", "val"):
        content = {"images": [picture(7)], "annotations": [person(7)]}
        write(f"annotations/coco_wholebody_{split}_v1.0.json", content)
        write(f"{split}2017/{7:012}.jpg")
    examples = read("coco_wholebody", tmp_path, problems)
    assert [example.picture.parent.name for example in examples] == ["train2017", "val2017"]


def test_pictures_without_people_are_left_out(tmp_path: Path, write: Callable[..., None], problems: Problems) -> None:
    content = {"images": [picture(7), picture(8)], "annotations": [person(8)]}
    write("annotations/coco_wholebody_val_v1.0.json", content)
    write(f"val2017/{7:012}.jpg")
    write(f"val2017/{8:012}.jpg")
    [example] = read("coco_wholebody", tmp_path, problems)
    assert example.picture.stem == f"{8:012}"
    assert not problems.lines


def test_people_of_whom_nothing_is_seen_have_no_keypoints(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    crowd = person(7, foot_valid=False, face_valid=False, lefthand_valid=False, keypoints=[0] * 51)
    write("coco_wholebody_val_v1.0.json", {"images": [picture(7)], "annotations": [crowd]})
    write(f"{7:012}.jpg")
    [example] = read("coco_wholebody", tmp_path, problems)
    assert (example.hands, example.faces, example.keypoints) == ((), (), ())
    assert not problems.lines


def test_what_is_broken_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    bare = {key: value for key, value in person(7).items() if key not in ("lefthand_box", "face_valid")}
    people = [
        person(7, face_box=[90, 5, 20, 20], lefthand_box=[-30, 0, 20, 20]),
        bare,
        person(7, keypoints=[1, 2], face_box=[None, 0, 1, 1]),
        person(9),
        "who",
        person(8),
    ]
    images = [picture(7), picture(8), {"id": 5}, picture(7), {**picture(4), "width": 0}, {**picture(6), "id": True}]
    write("annotations/coco_wholebody_val_v1.0.json", {"images": images, "annotations": people})
    write("annotations/coco_wholebody_train_v1.0.json", {"images": []})
    write(f"val2017/{7:012}.jpg")
    [example] = read("coco_wholebody", tmp_path, problems)
    assert example.faces == ((90, 5, 10, 20),)
    assert example.hands == ((10, 30, 15, 16),)
    assert [set(keypoints) for keypoints in example.keypoints] == [
        {"body", "feet", "face", "left_hand"},
        {"body", "feet", "left_hand"},
        {"feet", "face", "left_hand"},
    ]
    name = "annotations/coco_wholebody_val_v1.0.json"
    assert sorted(line.rsplit(": ", 1)[0] for line in problems.lines) == [
        f"box outside: {name}, annotations[0]",
        f"box partly outside: {name}, annotations[0]",
        f"broken box: {name}, annotations[2]",
        "broken entry: annotations/coco_wholebody_train_v1.0.json",
        f"broken entry: {name}, annotations[1]",
        f"broken entry: {name}, annotations[1]",
        f"broken entry: {name}, annotations[3]",
        f"broken entry: {name}, annotations[4]",
        f"broken entry: {name}, images[2]",
        f"broken entry: {name}, images[3]",
        f"broken entry: {name}, images[4]",
        f"broken entry: {name}, images[5]",
        f"broken keypoints: {name}, annotations[1]",
        f"broken keypoints: {name}, annotations[2]",
        f"missing picture: {name}, image 8",
    ]
