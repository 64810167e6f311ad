"""Prepared people come back as they were written, and what is damaged is named."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairhands.data.problems import Problems
from fairhands.people.prepared import MANIFEST, METADATA, Line, PreparedPeople, PreparedPeopleError, write_prepared

LINES = [
    Line("images/a.png", "a man waves", 90, 60, {"face": ((1.5, 2.0, 30.0, 31.25),), "hand": ()}),
    Line("b.png", "eine Frau grüßt", 8, 9, {"face": ()}, {"hand": "masks/b.png"}, {"pose": "pose/b.png"}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prepared(tmp_path, LINES, ("face", "hand"), ("pose",), {"pictures": 2}, "a command")
    return tmp_path


def change(folder: Path, name: str, **changes: Any) -> None:
    """Change the first line of the metadata, or the manifest."""
    first, *others = (folder / name).read_text().splitlines() if name == METADATA else [(folder / name).read_text()]
    (folder / name).write_text("\n".join([json.dumps({**json.loads(first), **changes}), *others, ""]))


def test_every_line_comes_back(folder: Path) -> None:
    people = PreparedPeople(folder, check=True)
    assert list(people.lines) == LINES
    assert (people.regions, people.conditioning) == (("face", "hand"), ("pose",))
    assert people.places[1] == f"{folder / METADATA}, line 2"
    assert people.manifest["counts"] == {"pictures": 2}
    assert people.manifest["command"] == "a command"
    assert people.path("a/b.png") == folder / "a" / "b.png"
    assert people.path("/elsewhere/b.png") == Path("/elsewhere/b.png")


def test_the_bytes_depend_on_the_lines_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write_prepared(other, iter(LINES), ("face", "hand"), ("pose",), {"pictures": 2}, "a command")
    for name in (MANIFEST, METADATA):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("empty caption", {"text": " \t"}),
        ("broken entry", {"text": 3}),
        ("broken entry", {"width": 0}),
        ("broken entry", {"height": "60"}),
        ("broken entry", {"height": 10**12}),
        ("broken entry", {"file_name": None}),
        ("broken entry", {"boxes": {"face": []}}),
        ("broken entry", {"boxes": {"face": [], "hand": 1}}),
        ("broken entry", {"masks": {"hand": 1}}),
        ("broken entry", {"conditioning": ["a.png"]}),
    ],
)
def test_a_broken_line_is_named_and_left_out(
    folder: Path, kind: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    change(folder, METADATA, **changes)
    problems = Problems()
    with caplog.at_level(logging.WARNING):
        people = PreparedPeople(folder, problems=problems)
    assert list(people.lines) == LINES[1:]
    assert people.left_out == 1
    assert problems.counts == {kind: 1}
    assert f"{folder / METADATA}, line 1" in caplog.text


def test_lines_that_are_no_json_break_no_other(folder: Path) -> None:
    problems = Problems()
    content = (folder / METADATA).read_bytes()
    (folder / METADATA).write_bytes(b'{"file_name"\n\xff\xfe\n[]\n' + content + b"\n")
    people = PreparedPeople(folder, problems=problems)
    assert list(people.lines) == LINES
    assert people.places[0].endswith("line 4")
    assert problems.counts == {"broken line": 3}


def test_boxes_outside_are_left_out_and_those_partly_outside_clipped(folder: Path) -> None:
    boxes = {"face": [[80, 10, 20, 10], [5, 5, 0, 5]], "hand": [[200, 5, 5, 5], [1, 2, 3]]}
    change(folder, METADATA, boxes=boxes)
    problems = Problems()
    people = PreparedPeople(folder, problems=problems)
    assert people.lines[0].boxes == {"face": ((80, 10, 10, 10),), "hand": ()}
    wanted = {"box partly outside": 1, "box without area": 1, "box outside": 1, "broken box": 1}
    assert problems.counts == wanted


def test_a_folder_of_something_else_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PreparedPeopleError, match=r"holds no manifest.json: prepared people are written by"):
        PreparedPeople(tmp_path / "nowhere")
    change(folder, MANIFEST, kind="hand pairs")
    with pytest.raises(PreparedPeopleError, match="says kind 'hand pairs', expected \"people\""):
        PreparedPeople(folder)
    change(folder, MANIFEST, kind="people", format=2)
    with pytest.raises(PreparedPeopleError, match="is of format 2, expected 1"):
        PreparedPeople(folder)
    change(folder, MANIFEST, format=1, regions="hand")
    with pytest.raises(PreparedPeopleError, match="gives regions as 'hand', expected a list of names"):
        PreparedPeople(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(PreparedPeopleError, match="cannot be read"):
        PreparedPeople(folder)


def test_a_changed_file_is_found_where_hashes_are_checked(folder: Path) -> None:
    change(folder, METADATA, text="another")
    assert PreparedPeople(folder).lines[0].text == "another"
    with pytest.raises(PreparedPeopleError, match="was changed or damaged"):
        PreparedPeople(folder, check=True)
    (folder / METADATA).unlink()
    with pytest.raises(PreparedPeopleError, match="is missing"):
        PreparedPeople(folder, check=True)
    with pytest.raises(PreparedPeopleError, match="cannot be read"):
        PreparedPeople(folder)


def test_a_line_without_a_region_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images/a.png has neither boxes nor a mask for foot"):
        write_prepared(tmp_path, LINES, ("face", "foot"), (), {}, "")
    assert not list(tmp_path.iterdir())


def test_a_write_that_stops_leaves_no_manifest(folder: Path) -> None:
    def stopped() -> Iterator[Line]:
        yield LINES[0]
        raise KeyboardInterrupt

    before = (folder / METADATA).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_prepared(folder, stopped(), ("face", "hand"), (), {}, "")
    assert [path.name for path in folder.iterdir()] == [METADATA]
    assert (folder / METADATA).read_bytes() == before
