"""The whole preparation: what it writes, and that stopped and shared runs write what one run does."""

import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.preparing import stages
from fairhands.data.preparing.packing import hashes
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.report import NothingLeft
from fairhands.data.preparing.stages import Share
from fairhands.data.preparing_humans import finding, maps
from fairhands.data.preparing_humans.preparation import Preparation
from fairhands.data.preparing_humans.settings import (
    Captions,
    DepthSettings,
    FaceSettings,
    FilterSettings,
    HandSettings,
    Settings,
)
from fairhands.people.prepared import PreparedPeople

FILTERS = FilterSettings(least_side=0, least_sharpness=0, duplicates=0)
ANNOTATED = {"faces": FaceSettings(boxes="annotated"), "hands": HandSettings(boxes="annotated"), "filters": FILTERS}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (finding, "PICTURES_IN_PIECE"),
        (maps, "PICTURES_IN_PIECE"),
        (stages, "CAPTIONS_IN_PIECE"),
    ):
        monkeypatch.setattr(module, name, 2)


def chosen(dataset: Path, output: Path, **more) -> Settings:
    kind = "coco_wholebody" if (dataset / "annotations").is_dir() else "metadata"
    return Settings(**{"kind": kind, "folder": dataset, "output": output / "out", **ANNOTATED, **more})


def run(settings: Settings, share: Share | None = None) -> dict[str, int]:
    return Preparation(settings, share or Share()).run("command")


def content(folder: Path) -> dict[str, str]:
    """The hash of each file but for the one that says where the output lies."""
    return {name: digest for name, digest in hashes(folder).items() if name != "report/report.json"}


def times(folder: Path) -> dict[str, int]:
    return {path.as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_coco_wholebody_becomes_people_with_boxes_captions_and_poses(wholebody: Path, tmp_path: Path):
    counts = run(chosen(wholebody, tmp_path))
    people = PreparedPeople(tmp_path / "out", check=True)
    assert people.regions == ("face", "hand")
    assert people.conditioning == ("pose",)
    assert [line.text for line in people.lines] == [f"person {number}" for number in range(4)]
    assert counts == people.manifest["counts"]
    assert counts == {"pictures": 4, "with a face": 4, "faces": 4, "with a hand": 3, "hands": 6, "with pose": 4}
    assert people.lines[3].boxes["hand"] == ()
    originals = sorted((wholebody / "val2017").glob("*.png"))
    for original, line in zip(originals, people.lines, strict=False):
        assert people.path(line.file_name).read_bytes() == original.read_bytes()
        with Image.open(people.path(line.conditioning["pose"])) as pose:
            assert (pose.size, pose.mode) == ((line.width, line.height), "RGB")
            assert np.array(pose).any()
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["problems"]["counts"] == {"unreadable picture": 1}
    assert report["stages"]["pictures"] == {"pictures": 5, "readable": 4, "with a face": 4, "with a hand": 3}


def test_fair_humans_own_form_keeps_its_masks_and_pictures(fair_human: Path, tmp_path: Path):
    counts = run(chosen(fair_human, tmp_path, given="depth"))
    people = PreparedPeople(tmp_path / "out")
    assert people.conditioning == ("depth",)
    first, second = people.lines
    assert (set(first.masks), set(second.masks)) == ({"face", "hand"}, {"hand"})
    assert second.boxes["face"] == ()  # its mask is empty
    written = [json.loads(line)["boxes"] for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert written == [{}, {"face": []}]
    assert (first.text, counts["with a face"], counts["with depth"]) == ("person 0", 1, 2)
    with Image.open(people.path(first.masks["hand"])) as mask, Image.open(fair_human / "mask_hand_0.png") as given:
        np.testing.assert_array_equal(np.array(mask), np.array(given))


def test_depths_of_a_model_have_the_pictures_size(wholebody: Path, tiny_depth_model: Path, tmp_path: Path):
    run(chosen(wholebody, tmp_path, depth=DepthSettings(model=str(tiny_depth_model))))
    people = PreparedPeople(tmp_path / "out")
    assert people.conditioning == ("pose", "depth")
    with Image.open(people.path(people.lines[0].conditioning["depth"])) as depth:
        pixels = np.array(depth)
    assert pixels.shape == (people.lines[0].height, people.lines[0].width, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_pictures_without_any_caption_are_left_out(fair_human: Path, tmp_path: Path):
    with pytest.raises(NothingLeft, match="No picture is left to pack"):
        run(chosen(fair_human, tmp_path, captions=Captions(order=("txt",))))


def test_where_no_picture_is_left_it_says_what_became_of_them(wholebody: Path, tmp_path: Path):
    strict = FILTERS.model_copy(update={"least_side": 4000})
    with pytest.raises(NothingLeft, match=r"No picture is left to pack \(pictures: 5 pictures.* small.*unreadable"):
        run(chosen(wholebody, tmp_path, filters=strict))
    assert not (tmp_path / "out").exists()


def test_pictures_can_stay_where_they_are(wholebody: Path, tmp_path: Path):
    run(chosen(wholebody, tmp_path, copy_pictures=False))
    people = PreparedPeople(tmp_path / "out")
    assert not (tmp_path / "out" / "images").exists()
    assert people.path(people.lines[0].file_name) == (wholebody / "val2017" / f"{0:012}.png").resolve()


def test_a_second_run_changes_no_file_and_a_lost_one_is_written_again(wholebody: Path, tmp_path: Path):
    settings = chosen(wholebody, tmp_path)
    run(settings)
    before = times(tmp_path)
    run(settings)
    assert times(tmp_path) == before
    (lost := next((tmp_path / "out" / "pose").rglob("*.png"))).unlink()
    run(settings)
    assert lost.is_file()


@pytest.mark.parametrize(
    "more",
    [
        {"filters": FILTERS.model_copy(update={"needs": "both"})},
        {"captions": Captions(order=("template",))},
        {"copy_pictures": False},
        {"given": "ignore"},
    ],
)
def test_other_settings_write_another_output_and_find_nothing_anew(more: dict, wholebody: Path, tmp_path: Path):
    run(chosen(wholebody, tmp_path))
    found, out = times(tmp_path / "out.work" / "found"), times(tmp_path / "out")
    run(chosen(wholebody, tmp_path, **more))
    assert times(tmp_path / "out.work" / "found") == found
    assert times(tmp_path / "out") != out


def test_a_run_that_fails_at_any_stage_goes_on_to_the_same_bytes(
    wholebody: Path, tiny_depth_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    depth = DepthSettings(model=str(tiny_depth_model))
    run(chosen(wholebody, tmp_path / "whole", depth=depth))
    settings = chosen(wholebody, tmp_path / "stopped", depth=depth)
    make, asked = Pieces._make, itertools.count(1)

    def failing(*arguments) -> None:
        if next(asked) % 3 == 0:  # so that each run makes two pieces more
            raise OSError(28, "No space left on device")
        make(*arguments)

    monkeypatch.setattr(Pieces, "_make", failing)
    failures = 0
    while not (tmp_path / "stopped" / "out").exists():
        try:
            run(settings)
        except OSError:
            failures += 1
            assert not list((tmp_path / "stopped").rglob("*.part"))
    assert failures >= 3
    assert content(tmp_path / "stopped" / "out") == content(tmp_path / "whole" / "out")


def test_a_write_that_fails_leaves_the_old_output_and_nothing_else(
    wholebody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(chosen(wholebody, tmp_path))
    before = times(tmp_path / "out")
    monkeypatch.setattr("shutil.copyfile", _full_disk())
    with pytest.raises(OSError, match="No space left"):
        run(chosen(wholebody, tmp_path, captions=Captions(order=("template",))))
    assert times(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.work"]


def _full_disk() -> Callable[..., None]:
    asked = itertools.count(1)

    def copy(source: Path, target: Path) -> None:
        if next(asked) > 3:
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    return copy


def test_two_processes_write_the_same_bytes_as_one(wholebody: Path, tmp_path: Path):
    run(chosen(wholebody, tmp_path / "one"))
    settings = chosen(wholebody, tmp_path / "two")
    barrier = threading.Barrier(2, timeout=60)
    other = threading.Thread(target=run, args=(settings, Share(1, 2, barrier.wait)))
    other.start()
    run(settings, Share(0, 2, barrier.wait))
    other.join()
    assert content(tmp_path / "two" / "out") == content(tmp_path / "one" / "out")


def test_the_sheets_show_what_was_kept_with_its_maps_and_what_was_dropped(wholebody: Path, tmp_path: Path):
    few = FILTERS.model_copy(update={"needs": "both"})
    run(chosen(wholebody, tmp_path, filters=few))
    report = tmp_path / "out" / "report"
    with Image.open(report / "kept.png") as kept, Image.open(report / "dropped.png") as dropped:
        assert kept.height == 2 * dropped.height  # pictures and poses; one reason
        colours = {colour for _, colour in kept.convert("RGB").getcolors(1 << 24)}
    assert {(0, 255, 0), (255, 255, 0)} <= colours  # the outlines of faces and hands
    assert "without face or hand" in (report / "report.txt").read_text()
