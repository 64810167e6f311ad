import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read


def lines(*entries: Any) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def test_captions_and_boxes_are_read(tmp_path: Path, write: Callable[..., None], problems: Problems) -> None:
    entries = [
        {"file_name": "a.jpg", "text": "a man waves", "objects": {"bbox": [[1, 2, 30, 40]]}},
        {"file_name": "sub/b.png", "objects": {"bbox": []}},
        {"file_name": "c.webp", "text": None, "objects": None},
    ]
    write("metadata.jsonl", lines(*entries) + "\n")
    for name in ("a.jpg", "sub/b.png", "c.webp"):
        write(name)
    a, c, b = read("metadata", tmp_path, problems)
    assert (a.picture, a.text, a.hands, a.faces) == (tmp_path / "a.jpg", "a man waves", ((1, 2, 30, 40),), None)
    assert (b.text, b.hands, b.place) == (None, (), "metadata.jsonl, line 2")
    assert (c.text, c.hands, c.faces) == (None, None, None)
    assert a.unit == "pixels"
    assert not problems.lines


@pytest.mark.parametrize("key", ["category", "categories"])
def test_categories_tell_hands_from_faces_and_other_things(
    tmp_path: Path, write: Callable[..., None], problems: Problems, key: str
) -> None:
    boxes = [[number, 0, 5, 5] for number in range(4)]
    objects = {"bbox": boxes, key: ["face", "left_hand", "dog", "Hand"]}
    write("metadata.jsonl", lines({"file_name": "a.jpg", "objects": objects}))
    write("a.jpg")
    [example] = read("metadata", tmp_path, problems)
    assert example.hands == ((1, 0, 5, 5), (3, 0, 5, 5))
    assert example.faces == ((0, 0, 5, 5),)
    assert not problems.lines


def test_names_begin_at_the_folder_of_their_file(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    for split in ("train", "test"):
        write(f"{split}/metadata.jsonl", lines({"file_name": "a.jpg", "text": split}))
        write(f"{split}/a.jpg")
    examples = read("metadata", tmp_path, problems)
    assert [(example.picture.parent.name, example.text) for example in examples] == [
        ("test", "test"),
        ("train", "train"),
    ]


def test_fairhumans_keys_are_read(tmp_path: Path, write: Callable[..., None], problems: Problems) -> None:
    names = {
        "image": "images/a.jpg",
        "conditioning_image": "poses/a.png",
        "mask_hand": "hands/a.png",
        "mask_face": "faces/a.png",
    }
    for name in names.values():
        write(name)
    write("images/b.jpg")
    other = {"image": str(tmp_path / "images/b.jpg"), "mask_hand": "hands/gone.png", "text_english": "b"}
    write("metadata.jsonl", lines({**names, "text_english": "a man waves"}, other))
    a, b = read("metadata", tmp_path, problems)
    assert (a.picture, a.text) == (tmp_path / "images/a.jpg", "a man waves")
    assert a.masks == {"hand": tmp_path / "hands/a.png", "face": tmp_path / "faces/a.png"}
    assert a.conditioning == tmp_path / "poses/a.png"
    assert (a.hands, a.faces) == (None, None)
    assert (b.text, b.masks, b.conditioning) == ("b", {}, None)
    assert problems.lines == [
        f"missing picture: metadata.jsonl, line 2: mask_hand: hands/gone.png is not in {tmp_path}"
    ]


def test_what_is_broken_is_named_by_its_line_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    broken = [
        b'{"file_name": "good.jpg", "text": ',
        b'{"file_name": "\xff.jpg"}',
        b"[1]",
        b'{"text": "x"}',
        b'{"file_name": "gone.jpg"}',
        b'{"file_name": 3}',
        b'{"file_name": "good.jpg", "objects": {"bbox": [[0, 0, 1, 1]], "category": []}}',
        b'{"file_name": "", "text": "x"}',
        b'{"file_name": "a\\u0000.jpg"}',
        b"[" * 100000,
    ]
    boxes = [[0, 0, 9, float("inf")], [-5, 1, 10, 4], [-9, 0, 9, 9], [3], [0, 0, 9, 9]]
    odd = {"file_name": "good.jpg", "objects": {"bbox": boxes, "category": [*["hand"] * 4, 0]}}
    write("metadata.jsonl", b"\n".join([*broken, lines(odd).encode()]))
    write("good.jpg")
    [example] = read("metadata", tmp_path, problems)
    assert example.hands == ((0, 1, 5, 4),)
    kinds = [
        (line.split(": ")[0], int(line.split(": ")[1].removeprefix("metadata.jsonl, line "))) for line in problems.lines
    ]
    assert kinds == [
        ("broken line", 1),
        ("broken line", 2),
        ("broken line", 3),
        ("broken entry", 4),
        ("missing picture", 5),
        ("broken entry", 6),
        ("broken entry", 7),
        ("missing picture", 8),
        ("missing picture", 9),
        ("broken line", 10),
        ("unknown category", 11),
        ("broken box", 11),
        ("box partly outside", 11),
        ("box outside", 11),
        ("broken box", 11),
    ]
