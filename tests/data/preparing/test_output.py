"""The output is written whole, and not again where it would be the same."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fairhands.data.preparing.filters import Dropped
from fairhands.data.preparing.output import holds_other_things, write_output
from fairhands.data.preparing.packing import KIND
from fairhands.data.preparing.records import Crop
from fairhands.data.preparing.report import Report
from fairhands.data.preparing.settings import FilterSettings, Settings


def report(crops: list[Crop]) -> Report:
    made = Report(kept=crops, dropped=[Dropped(crops[0], "blurred", 3.25), Dropped(crops[2], "duplicate", None)])
    made.counts["real hands"] = {"kept": len(crops), "blurred": 1}
    made.problems.add("unreadable picture", "a.jpg", "no picture")
    return made


def settings(folder: Path) -> Settings:
    return Settings(output=folder / "out", work=folder / "work")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}


def test_the_same_again_changes_no_file(crops: list[Crop], tmp_path: Path):
    write_output(crops, {}, report(crops), settings(tmp_path), "command")
    before = state(tmp_path / "out")
    write_output(crops, {}, report(crops), settings(tmp_path), "the same, spelt otherwise")
    assert state(tmp_path / "out") == before


def test_other_crops_texts_or_settings_are_written_anew(crops: list[Crop], tmp_path: Path):
    given, chosen = report(crops), settings(tmp_path)
    changes = [
        lambda: (crops[1:], {}, given, chosen),
        lambda: (crops, {"pair0": "a hand"}, given, chosen),
        lambda: ([replace(crops[0], sha256="other"), *crops[1:]], {}, given, chosen),
        lambda: (crops, {}, given, chosen.model_copy(update={"filters": FilterSettings(least_side=1)})),
        lambda: (crops, {}, Report(), chosen),
    ]
    write_output(crops, {}, given, chosen, "command")
    for change in changes:
        before = state(tmp_path / "out")
        write_output(*change(), "command")
        assert state(tmp_path / "out") != before


def test_a_lost_file_is_written_again(crops: list[Crop], tmp_path: Path):
    for _ in range(2):
        write_output(crops, {}, report(crops), settings(tmp_path), "command")
        (shard := tmp_path / "out" / "shards" / "000000.tar").unlink()
    write_output(crops, {}, report(crops), settings(tmp_path), "command")
    assert shard.is_file()


def test_a_write_that_fails_leaves_the_old_output(crops: list[Crop], tmp_path: Path):
    write_output(crops, {}, report(crops), settings(tmp_path), "command")
    before = state(tmp_path / "out")
    (tmp_path / "work" / crops[-1].file).unlink()
    with pytest.raises(FileNotFoundError):
        write_output(crops, {"pair0": "other"}, Report(), settings(tmp_path), "command")
    assert state(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]


def test_the_report_tells_counts_and_problems_and_shows_crops(crops: list[Crop], tmp_path: Path):
    write_output(crops, {}, report(crops), settings(tmp_path), "command")
    folder = tmp_path / "out" / "report"
    text = (folder / "report.txt").read_text()
    assert "real hands\n         14  kept\n          1  blurred\n" in text
    assert "unreadable picture: a.jpg: no picture" in text
    with Image.open(folder / "dropped.png") as dropped, Image.open(folder / "kept.png") as kept:
        assert dropped.height == kept.height  # two rows each: two reasons, two kinds
        assert kept.convert("RGB").getpixel((20, 40)) == (len(crops[0].key) * 3, 0, 200)


def test_a_folder_with_other_things_is_told_from_an_output(crops: list[Crop], tmp_path: Path):
    write_output(crops, {}, report(crops), settings(tmp_path), "command")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert not any(holds_other_things(tmp_path / name, KIND) for name in ("out", "empty", "missing"))
    assert all(holds_other_things(tmp_path / name, KIND) for name in ("work", "file"))
    assert holds_other_things(tmp_path / "out", "people")
