from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read

CAMERA = [[480.0, 0.0, 112.0], [0.0, 470.0, 110.0], [0.0, 0.0, 1.0]]


def hand(offset: float = 0.0) -> list[list[float]]:
    """A flat hand of 17 cm, 60 cm before the camera: fingers side by side, 2 cm apart."""
    joints = [[offset, 0.05, 0.6]]
    for finger in range(5):
        joints += [[offset + 0.02 * (finger - 2), -0.03 * joint, 0.6 + 0.01 * joint] for joint in range(1, 5)]
    return joints


def test_joints_are_projected_and_the_box_holds_their_flesh(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("training_K.json", [CAMERA])
    write("training_xyz.json", [hand()])
    write("training/rgb/00000000.jpg")
    [example] = read("freihand", tmp_path, problems)
    [keypoints] = example.keypoints
    assert list(keypoints) == ["right_hand"]
    joints = keypoints["right_hand"]
    expected = [[480 * x / z + 112, 470 * y / z + 110, 1] for x, y, z in hand()]
    np.testing.assert_allclose(joints, expected, rtol=1e-5)
    [(x, y, width, height)] = example.hands
    low, high = joints[:, :2].min(axis=0), joints[:, :2].max(axis=0)
    around = [low[0] - x, low[1] - y, x + width - high[0], y + height - high[1]]
    # Fingers are 12 to 25 mm thick, a wrist 50 mm; 1 mm is 0.8 pixels there.
    assert all(4 < pixels < 25 for pixels in around)
    assert not problems.lines


def test_picture_numbers_go_round_the_annotations(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    count = 3
    write("training_K.json", [CAMERA] * count)
    write("training_xyz.json", [hand(0.01 * number) for number in range(count)])
    for number in range(4 * count):
        write(f"training/rgb/{number:08}.jpg")
    examples = read("freihand", tmp_path, problems)
    assert [int(example.picture.stem) for example in examples] == list(range(4 * count))
    wrists = [float(example.keypoints[0]["right_hand"][0, 0]) for example in examples]
    assert wrists == pytest.approx([112 + 480 * 0.01 * (number % count) / 0.6 for number in range(4 * count)], rel=1e-5)
    assert examples[1].keypoints is not examples[2].keypoints
    assert examples[1].keypoints[0]["right_hand"] is examples[1 + count].keypoints[0]["right_hand"]
    assert examples[4].place == "training_xyz.json, entry 1"
    assert not problems.lines


def test_the_evaluation_split_is_read_where_it_is_there(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    for split in ("training", "evaluation"):
        write(f"{split}_K.json", [CAMERA])
        write(f"{split}_xyz.json", [hand()])
        write(f"{split}/rgb/00000000.jpg")
    examples = read("freihand", tmp_path, problems)
    assert [example.picture.parts[-3] for example in examples] == ["evaluation", "training"]


def test_what_is_broken_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    behind = [[x, y, -z] for x, y, z in hand()]
    joints = [hand(), behind, hand()[:20], [["a", 0, 1]] * 21, [[1e300, 0, 1e-300]] * 21, hand(), hand()]
    write("training_K.json", [*[CAMERA] * 5, [[1]], CAMERA])
    write("training_xyz.json", joints)
    for number in range(6):
        write(f"training/rgb/{number:08}.jpg")
    write("training/rgb/cover.jpg")
    write("evaluation_K.json", [CAMERA])
    write("evaluation_xyz.json", [hand(), hand()])
    write("evaluation/rgb/00000000.jpg")
    [example] = read("freihand", tmp_path, problems)
    assert example.picture.stem == "00000000"
    assert sorted(line.split(": ")[1] for line in problems.lines if line.startswith("broken entry")) == [
        f"training_xyz.json, entry {number}" for number in range(1, 6)
    ]
    assert "missing picture: training_xyz.json, entry 6: no 00000006.jpg" in problems.lines
    assert any(line.startswith("broken file: evaluation_xyz.json: it has 2 entries") for line in problems.lines)
    assert any(line.startswith("picture without a number: training/rgb/cover.jpg") for line in problems.lines)
    assert len(problems.lines) == 8


@pytest.mark.parametrize("missing", ["training_K.json", "training/rgb/00000000.jpg"])
def test_a_missing_part_is_named(tmp_path: Path, write: Callable[..., None], problems: Problems, missing: str) -> None:
    write("training_K.json", [CAMERA])
    write("training_xyz.json", [hand()])
    write("training/rgb/00000000.jpg")
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=r"training_K\.json and training_xyz\.json, pictures in training/rgb"):
        read("freihand", tmp_path, problems)
    assert len(problems.lines) == 1
    assert missing in problems.lines[0] or "00000000.jpg" in problems.lines[0]
