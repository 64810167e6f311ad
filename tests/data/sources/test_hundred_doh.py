from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import read


def hand(x1: Any, y1: Any, x2: Any, y2: Any) -> dict[str, Any]:
    return {
        "x1": x1, "y1": y1, "x2": x2, "y2": y2, "width": 1280, "height": 720,
        "contact_state": 3, "hand_side": "r", "obj_bbox": {"x1": 0.1, "y1": 0.1, "x2": 0.2, "y2": 0.2},
    }  # fmt: skip


def xml(*objects: tuple[str, int, int, int, int], size: tuple[int, int] = (640, 480)) -> str:
    parts = "".join(
        f"<object><name>{name}</name><handside>0</handside><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in objects
    )
    width, height = size
    return (
        f"<annotation><folder>JPEGImages</folder><filename>x.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{parts}</annotation>"
    )


@pytest.mark.parametrize("pictures", ["", "raw/", "images/"])
@pytest.mark.parametrize("annotations", ["", "annotations/"])
def test_corners_in_shares_become_boxes(
    tmp_path: Path, write: Callable[..., None], problems: Problems, pictures: str, annotations: str
) -> None:
    name = "boardgame_v_-9jFxo/frame000123.jpg"
    write(f"{annotations}trainval.json", {name: [hand(0.25, 0.5, 0.75, 1.0), hand(0, 0, 0.5, 0.25)]})
    write(f"{pictures}{name}")
    [example] = read("100doh", tmp_path, problems)
    assert example.picture == tmp_path / f"{pictures}{name}"
    assert example.hands == ((0.25, 0.5, 0.5, 0.5), (0, 0, 0.5, 0.25))
    assert (example.unit, example.faces) == ("share", None)
    assert not problems.lines


def test_a_frame_without_hands_says_that_there_is_none(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("test.json", {"a.jpg": []})
    write("a.jpg")
    [example] = read("100doh", tmp_path, problems)
    assert example.hands == ()


def test_overlapping_splits_give_each_frame_once(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    frames = {"a.jpg": [hand(0.25, 0.5, 0.75, 1.0)], "b.jpg": [hand(0, 0, 0.5, 0.5)]}
    write("trainval.json", frames)
    write("train.json", {"a.jpg": frames["a.jpg"]})
    write("val.json", {"b.jpg": [hand(0, 0, 0.25, 0.5)]})
    write("raw/a.jpg")
    write("raw/b.jpg")
    examples = read("100doh", tmp_path, problems)
    assert [example.picture.name for example in examples] == ["a.jpg", "b.jpg"]
    assert examples[1].hands == ((0, 0, 0.5, 0.5),)
    assert problems.lines == [
        "picture annotated twice: val.json, b.jpg: trainval.json, b.jpg says something else and is kept"
    ]


@pytest.mark.parametrize("folder", ["", "VOC2007/", "VOCdevkit2007/VOC2007/"])
def test_pixels_counted_from_1_become_boxes_counted_from_0(
    tmp_path: Path, write: Callable[..., None], problems: Problems, folder: str
) -> None:
    write(
        f"{folder}Annotations/a.xml", xml(("hand", 1, 1, 640, 480), ("targetobject", 5, 5, 9, 9), ("hand", 3, 5, 4, 9))
    )
    write(f"{folder}JPEGImages/a.jpg")
    [example] = read("100doh", tmp_path, problems)
    assert example.picture == tmp_path / f"{folder}JPEGImages/a.jpg"
    assert example.hands == ((0, 0, 640, 480), (2, 4, 2, 5))
    assert example.unit == "pixels"
    assert not problems.lines


def test_what_is_broken_in_json_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    entries = {
        "good.jpg": [hand(0.25, 0.5, 0.75, 1.0)],
        "gone.jpg": [hand(0.25, 0.5, 0.75, 1.0)],
        "odd.jpg": [
            {"x1": 0.1},
            hand("0", 0, 1, 1),
            hand(0.5, 0.5, 0.25, 0.75),
            hand(1.1, 0, 1.2, 1),
            hand(-0.5, 0, 0.5, 1),
        ],
        "none.jpg": None,
    }
    write("trainval.json", entries)
    write("test.json", b"\xff\xfe\xff")
    for name in ("good", "odd", "none"):
        write(f"raw/{name}.jpg")
    good, odd = read("100doh", tmp_path, problems)
    assert good.hands == ((0.25, 0.5, 0.5, 0.5),)
    assert odd.hands == ((0, 0, 0.5, 1),)
    assert problems.counts == {
        "missing picture": 1,
        "broken entry": 3,
        "box without area": 1,
        "box outside": 1,
        "box partly outside": 1,
        "broken file": 1,
    }
    assert any(
        line.startswith("missing picture: trainval.json, gone.jpg: gone.jpg is not in ") for line in problems.lines
    )
    assert any(line.startswith("broken file: test.json: not JSON: ") for line in problems.lines)


def test_what_is_broken_in_xml_is_named_and_the_rest_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("Annotations/cut.xml", xml(("hand", 600, 10, 700, 20)))
    write("Annotations/torn.xml", "<annotation><size>")
    write("Annotations/gone.xml", xml(("hand", 1, 1, 9, 9)))
    write("Annotations/size.xml", xml(size=(0, 0)))
    write("Annotations/bare.xml", "<annotation/>")
    write("Annotations/part.xml", xml(("hand", 1, 1, 9, 9)).replace("<xmin>1</xmin>", "<xmin>left</xmin>"))
    for name in ("cut", "torn", "size", "bare", "part"):
        write(f"JPEGImages/{name}.jpg")
    cut, part = read("100doh", tmp_path, problems)
    assert cut.hands == ((599, 9, 41, 11),)
    assert part.hands == ()
    assert problems.counts == {"box partly outside": 1, "broken file": 1, "missing picture": 1, "broken entry": 3}
    assert "broken entry: Annotations/part.xml: bndbox/xmin is 'left', expected a number" in problems.lines
    assert "broken entry: Annotations/size.xml: the picture's size is 0 x 0" in problems.lines
