"""A folder is replaced as a whole, for whoever looks at whatever moment."""

from pathlib import Path

import pytest

from fairhands.data.preparing import whole_folder
from fairhands.data.preparing.whole_folder import replaced_whole, restore


def write(folder: Path, content: str) -> None:
    with replaced_whole(folder) as part:
        for name in ("first", "second"):
            (part / name).write_text(content)


def contents(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


@pytest.fixture(params=["in one step", "in two"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in two":
        monkeypatch.setattr(whole_folder, "_exchange", lambda one, other: False)


@pytest.mark.usefixtures("_either_way")
def test_a_folder_is_replaced_and_nothing_else_is_left(tmp_path: Path):
    for content in ("old", "new"):
        write(tmp_path / "folder", content)
        assert contents(tmp_path / "folder") == {content}
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.usefixtures("_either_way")
def test_a_failure_leaves_the_old_folder_alone(tmp_path: Path):
    write(tmp_path / "folder", "old")
    with pytest.raises(TypeError):
        write(tmp_path / "folder", None)  # type: ignore[arg-type]  which fails with the first file opened
    assert contents(tmp_path / "folder") == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_program_left_is_cleared_or_put_back(tmp_path: Path):
    write(tmp_path / ".folder.old", "old")
    write(tmp_path / ".folder.part", "half")
    restore(tmp_path / "folder")
    assert contents(tmp_path / "folder") == {"old"}
    write(tmp_path / "folder", "new")
    assert contents(tmp_path / "folder") == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_was_left_aside_is_not_lost_when_the_next_write_fails(tmp_path: Path):
    write(tmp_path / ".folder.old", "old")
    with pytest.raises(TypeError):
        write(tmp_path / "folder", None)  # type: ignore[arg-type]
    assert contents(tmp_path / "folder") == {"old"}


def test_where_the_system_can_the_folder_is_never_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "folder", "old")
    write(tmp_path / "other", "other")
    if not whole_folder._exchange(tmp_path / "folder", tmp_path / "other"):
        pytest.skip("this system or disk cannot exchange two folders in one step")
    assert (contents(tmp_path / "folder"), contents(tmp_path / "other")) == ({"other"}, {"old"})
    monkeypatch.setattr(Path, "rename", None)  # which would leave an instant without a folder
    write(tmp_path / "folder", "new")
    assert contents(tmp_path / "folder") == {"new"}
