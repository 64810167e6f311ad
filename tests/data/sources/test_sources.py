import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fairhands.data.problems import Problems
from fairhands.data.sources import LAYOUTS, SOURCES, read


def test_each_reader_says_in_a_line_which_layout_it_expects() -> None:
    assert list(SOURCES) == ["hagrid", "100doh", "coco_wholebody", "freihand", "interhand", "folder", "metadata"]
    assert list(LAYOUTS) == list(SOURCES)
    assert all(layout and "\n" not in layout for layout in LAYOUTS.values())


@pytest.mark.parametrize("kind", SOURCES)
def test_an_empty_folder_is_refused_with_the_layout_that_was_expected(
    tmp_path: Path, problems: Problems, kind: str
) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"holds no readable {kind} data, expected {LAYOUTS[kind]}.")
    ) as caught:
        read(kind, tmp_path, problems)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_missing_folder_is_refused(tmp_path: Path, problems: Problems, kind: str) -> None:
    with pytest.raises(ValueError, match=f"The folder of the dataset {kind} is .*gone, which is no folder"):
        read(kind, tmp_path / "gone", problems)


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path, problems: Problems) -> None:
    with pytest.raises(ValueError, match="The kind of dataset is imagenet, expected one of hagrid, 100doh, "):
        read("imagenet", tmp_path, problems)


def test_where_all_is_broken_the_first_problem_is_named(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    problems.add("before", "another folder", "is not counted")
    write("metadata.jsonl", '{"file_name": "a.jpg"}\nwhat\n')
    with pytest.raises(ValueError, match=r"\(2 problems, the first: missing picture: metadata\.jsonl, line 1: a\.jpg"):
        read("metadata", tmp_path, problems)


def test_the_order_is_that_of_the_pictures_whatever_the_annotations_or_the_disk_give(
    tmp_path: Path, write: Callable[..., None], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["b/2.jpg", "a/9.jpg", "a.jpg", "b/1.jpg", "Z.jpg"]
    for name in names:
        write(name)
    write("metadata.jsonl", "".join(f'{{"file_name": "{name}"}}\n' for name in names))
    forwards = [example.picture for example in read("folder", tmp_path, problems)]
    assert forwards == sorted((tmp_path / name for name in names), key=Path.as_posix)
    assert [example.picture for example in read("metadata", tmp_path, problems)] == forwards
    real = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            self.entries = reversed(sorted(real(path), key=lambda entry: entry.name))

        def __enter__(self) -> "Backwards":
            return self

        def __exit__(self, *error: object) -> None: ...

        def __iter__(self) -> "Backwards":
            return self

        def __next__(self) -> "os.DirEntry[str]":
            return next(self.entries)

        def close(self) -> None: ...

    monkeypatch.setattr(os, "scandir", Backwards)
    assert [example.picture for example in read("folder", tmp_path, problems)] == forwards


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, write: Callable[..., None], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.jpg")
    write("closed/b.jpg")
    real = os.scandir

    def scandir(path: str) -> object:
        if os.path.basename(path) == "closed":  # rights would not keep the superuser out
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    [example] = read("folder", tmp_path, problems)
    assert example.picture == tmp_path / "a.jpg"
    assert problems.lines == [f"unreadable folder: {tmp_path / 'closed'}: Permission denied"]


def test_a_file_that_cannot_be_read_is_named_and_the_others_read(
    tmp_path: Path, write: Callable[..., None], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    for gesture in ("call", "fist"):
        write(f"annotations/train/{gesture}.json", {"aa": {"bboxes": [[0, 0, 1, 1]]}})
        write(f"{gesture}/aa.jpg")
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "call.json":
            raise OSError(5, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    [example] = read("hagrid", tmp_path, problems)
    assert example.picture == tmp_path / "fist" / "aa.jpg"
    assert [line.split(": ")[:2] for line in problems.lines] == [["unreadable file", "annotations/train/call.json"]]
