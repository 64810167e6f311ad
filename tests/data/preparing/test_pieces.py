"""Pieces are made once, whole or not at all, and shared between processes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairhands.data.preparing.pieces import RECORD, Pieces


class Work:
    """Writes each piece's items into a file, and keeps account of what it was asked for."""

    def __init__(self, fails_at: str | None = None) -> None:
        self.made: list[list[str]] = []
        self.fails_at = fails_at

    def __call__(self, items: Sequence[str], folder: Path) -> None:
        self.made.append(list(items))
        for item in items:
            if item == self.fails_at:
                raise OSError(28, "No space left on device")
            (folder / item).write_text(item)


def make(pieces: Pieces, items: str, work: Work) -> None:
    pieces.make("test", list(items), lambda item: item, work)


def names(pieces: Pieces) -> list[list[str]]:
    return [sorted(path.name for path in folder.iterdir() if path.name != RECORD) for folder in pieces.folders()]


def test_items_are_made_in_pieces_of_a_size_and_not_again(tmp_path: Path):
    work = Work()
    for _ in range(2):
        make(Pieces(tmp_path / "stage", {}, 3), "abcdefg", work)
    assert work.made == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert names(Pieces(tmp_path / "stage", {}, 3)) == work.made


def test_what_fails_leaves_the_finished_pieces_and_nothing_of_its_own_and_goes_on_later(tmp_path: Path):
    pieces = Pieces(tmp_path, {}, 2)
    with pytest.raises(OSError, match="No space"):
        make(pieces, "abcdef", Work(fails_at="d"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000"]
    again = Work()
    make(pieces, "abcdef", again)
    assert again.made == [["c", "d"], ["e", "f"]]


def test_a_killed_run_leaves_a_part_that_the_next_one_clears(tmp_path: Path):
    (tmp_path / ".000000.part").mkdir()
    (tmp_path / ".000000.part" / "half").write_text("")
    pieces = Pieces(tmp_path, {}, 2)
    make(pieces, "ab", Work())
    assert names(pieces) == [["a", "b"]]
    assert [path.name for path in tmp_path.iterdir()] == ["000000"]


def test_only_pieces_whose_items_or_settings_changed_are_made_again(tmp_path: Path):
    make(Pieces(tmp_path, {"size": 1}, 2), "abcd", Work())
    work = Work()
    make(Pieces(tmp_path, {"size": 1}, 2), "abxd", work)
    assert work.made == [["x", "d"]]
    make(Pieces(tmp_path, {"size": 2}, 2), "abxd", work)
    assert work.made[1:] == [["a", "b"], ["x", "d"]]


def test_pieces_of_a_longer_run_are_forgotten(tmp_path: Path):
    pieces = Pieces(tmp_path, {}, 2)
    make(pieces, "abcdef", Work())
    make(pieces, "abc", Work())
    assert names(pieces) == [["a", "b"], ["c"]]
    make(pieces, "", Work())
    assert names(pieces) == []


def test_processes_share_the_pieces(tmp_path: Path):
    works = [Work(), Work()]
    for process, work in enumerate(works):
        make(Pieces(tmp_path, {}, 2, process, 2), "abcdefg", work)
    assert works[0].made == [["a", "b"], ["e", "f"]]
    assert works[1].made == [["c", "d"], ["g"]]
    alone = Work()
    make(Pieces(tmp_path, {}, 2), "abcdefg", alone)
    assert alone.made == []


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"made_of": "other"})])
def test_a_piece_with_a_damaged_record_is_made_again(tmp_path: Path, content: str):
    make(Pieces(tmp_path, {}, 2), "ab", Work())
    (tmp_path / "000000" / RECORD).write_text(content)
    work = Work()
    make(Pieces(tmp_path, {}, 2), "ab", work)
    assert work.made == [["a", "b"]]
