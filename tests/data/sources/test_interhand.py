from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read

NAME = "Capture0/0390_dh_touchROM/cam400262/image{}.jpg"


def picture(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": NAME.format(number),
        "width": 334,
        "height": 512,
        "capture": 0,
        "camera": "400262",
    }


def annotation(number: int, **changed: Any) -> dict[str, Any]:
    entry = {"id": number, "image_id": number, "bbox": [10.5, 20, 100, 200], "hand_type": "right", "hand_type_valid": 1}
    return entry | {"joint_valid": [1] * 42} | changed


@pytest.mark.parametrize("annotations", ["annotations/train/", "annotations/", ""])
@pytest.mark.parametrize("pictures", ["images/train/", "train/"])
def test_boxes_are_read_in_pixels_and_interacting_hands_share_one(
    tmp_path: Path, write: Callable[..., None], problems: Problems, annotations: str, pictures: str
) -> None:
    content = {
        "images": [picture(1), picture(2)],
        "annotations": [annotation(1), annotation(2, hand_type="interacting", bbox=[0, 0, 300, 300])],
    }
    write(f"{annotations}InterHand2.6M_train_data.json", content)
    write(f"{annotations}InterHand2.6M_train_camera.json", {})
    write(pictures + NAME.format(1))
    write(pictures + NAME.format(2))
    examples = read("interhand", tmp_path, problems)
    assert [example.hands for example in examples] == [((10.5, 20, 100, 200),), ((0, 0, 300, 300),)]
    assert {example.unit for example in examples} == {"pixels"}
    assert examples[0].picture == tmp_path / (pictures + NAME.format(1))
    assert not problems.lines


def test_each_split_has_its_own_pictures(tmp_path: Path, write: Callable[..., None], problems: Problems) -> None:
    for split in ("train", "val", "test"):
        content = {"images": [picture(1)], "annotations": [annotation(1)]}
        write(f"annotations/{split}/InterHand2.6M_{split}_data.json", content)
    write("images/val/" + NAME.format(1))
    write("images/test/" + NAME.format(1))
    examples = read("interhand", tmp_path, problems)
    assert [example.picture.relative_to(tmp_path).parts[1] for example in examples] == ["test", "val"]
    assert problems.lines == [
        "missing pictures: annotations/train/InterHand2.6M_train_data.json: "
        "none of its pictures is there: no folder images/train"
    ]


def test_what_is_broken_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    annotations = [
        annotation(1, bbox=[300, 500, 100, 200]),
        annotation(2),
        annotation(3, bbox=[400, 0, 10, 10]),
        {"image_id": 3, "id": 9},
        {"bbox": [0, 0, 1, 1]},
    ]
    content = {"images": [picture(number) for number in (1, 2, 3)], "annotations": annotations}
    write("annotations/train/InterHand2.6M_train_data.json", content)
    write("images/train/" + NAME.format(1))
    write("images/train/" + NAME.format(3))
    examples = read("interhand", tmp_path, problems)
    assert [example.hands for example in examples] == [((300, 500, 34, 12),), ()]
    assert problems.counts == {"box partly outside": 1, "box outside": 1, "missing picture": 1, "broken entry": 2}
    place = "annotations/train/InterHand2.6M_train_data.json"
    assert f"broken entry: {place}, annotations[3]: bbox is missing" in problems.lines
    assert f"broken entry: {place}, annotations[4]: image_id is missing" in problems.lines
