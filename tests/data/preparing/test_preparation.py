"""The whole preparation: stopped and shared runs give what one run gives, and changed settings redo what they must."""

import itertools
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.paths import ROOT
from fairhands.data.prepared import PreparedHands
from fairhands.data.preparing import preparation, stages
from fairhands.data.preparing.packing import hashes
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.preparation import Preparation
from fairhands.data.preparing.records import Crop
from fairhands.data.preparing.report import NothingLeft
from fairhands.data.preparing.settings import (
    CropSettings,
    EstimateTable,
    FakeTable,
    FilterSettings,
    HandSettings,
    PackSettings,
    Settings,
)
from fairhands.data.preparing.stages import Share

MANNEQUIN = str(ROOT / "weights" / "checkpoints" / "mannequin_model.safetensors")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (preparation.hands, "PICTURES_IN_PIECE"),
        (preparation.cropping, "PICTURES_IN_PIECE"),
        (stages, "CAPTIONS_IN_PIECE"),
        (preparation, "FAKES_IN_PIECE"),
        (preparation, "ESTIMATES_IN_PIECE"),
    ):
        monkeypatch.setattr(module, name, 2)


@pytest.fixture(scope="session")
def pictures(drawn_pictures: Callable[..., Path]) -> Path:
    folder = drawn_pictures(8)
    (folder / "broken.png").write_text("no picture")
    return folder


def chosen(pictures: Path, folder: Path, models: Path, **more) -> Settings:
    values = {
        "folder": pictures,
        "output": folder / "out",
        "hands": HandSettings(models=models, threshold=0.3),
        "filters": FilterSettings(least_score=0.3, least_side=20),
        "crops": CropSettings(size=64, format="png"),
        "pack": PackSettings(crops_in_shard=4),
    }
    return Settings(**{**values, **more})


def run(settings: Settings, share: Share | None = None) -> dict[str, int]:
    return Preparation(settings, share or Share()).run("command")


def content(folder: Path) -> dict[str, str]:
    """The hash of each file of an output; of the manifest all but where it was told to lie."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["settings"]["output"], manifest["settings"]["work"]
    return {**hashes(folder), "manifest": json.dumps(manifest)}


def times(folder: Path) -> dict[str, int]:
    return {path.as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_real_hands_become_crops_with_captions(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    counts = run(chosen(pictures, tmp_path, mediapipe_models))
    hands = PreparedHands(tmp_path / "out", check=True)
    assert counts["crops"] == len(hands) >= 8
    assert set(hands.kind) == {"real"}
    assert set(hands.text) == {"right hand"}
    assert set(hands.source) <= {f"{number:03}.png" for number in range(8)}
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["problems"]["counts"] == {"unreadable picture": 1}
    told = report["stages"]
    assert told["real pictures"] | {"hands": 0, "with a hand": 0} == {
        **{"pictures": 9, "readable": 8},
        **{"with a hand": 0, "hands": 0},
    }
    assert sum(told["real hands"].values()) == told["real pictures"]["hands"]
    assert told["real hands"]["kept"] == len(hands)


def test_a_second_run_changes_no_file(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    settings = chosen(pictures, tmp_path, mediapipe_models)
    run(settings)
    before = times(tmp_path)
    run(settings)
    assert times(tmp_path) == before


def test_a_run_that_fails_at_any_stage_goes_on_to_the_same_bytes(
    pictures: Path, tmp_path: Path, mediapipe_models: Path, monkeypatch: pytest.MonkeyPatch
):
    run(chosen(pictures, tmp_path / "whole", mediapipe_models))
    settings = chosen(pictures, tmp_path / "stopped", mediapipe_models)
    make, asked = Pieces._make, itertools.count(1)

    def failing(*arguments) -> None:
        if next(asked) % 4 == 0:  # so that each run makes three pieces more
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


def test_two_processes_give_the_same_bytes_as_one(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    run(chosen(pictures, tmp_path / "one", mediapipe_models))
    settings = chosen(pictures, tmp_path / "two", mediapipe_models)
    barrier = threading.Barrier(2, timeout=60)
    other = threading.Thread(target=run, args=(settings, Share(1, 2, barrier.wait)))
    other.start()
    run(settings, Share(0, 2, barrier.wait))
    other.join()
    assert content(tmp_path / "two" / "out") == content(tmp_path / "one" / "out")


def test_another_filter_detects_nothing_anew(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    counts = run(chosen(pictures, tmp_path, mediapipe_models))
    before = times(tmp_path / "out.work")
    stricter = FilterSettings(least_score=0.9, least_side=20)
    fewer = run(chosen(pictures, tmp_path, mediapipe_models, filters=stricter))
    assert 0 < fewer["crops"] < counts["crops"]
    after = times(tmp_path / "out.work")
    same = [path for path in before if "/real/" in path]
    assert {path: after[path] for path in same} == {path: before[path] for path in same}


def test_a_changed_picture_is_looked_at_again(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    own = shutil.copytree(pictures, tmp_path / "own")
    counts = run(chosen(own, tmp_path, mediapipe_models))
    shutil.copy(own / "003.png", own / "001.png")
    again = run(chosen(own, tmp_path, mediapipe_models))
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["stages"]["real hands"]["duplicate"] >= 1
    assert again["crops"] < counts["crops"]
    assert "003.png" not in PreparedHands(tmp_path / "out").source


def test_hands_without_a_counterpart_are_dropped_or_kept_as_chosen(crops: list[Crop]):
    for choice, left in (("drop", crops[:-2]), ("keep", crops)):
        preparing = Preparation(Settings(pack=PackSettings(unpaired=choice)), Share())
        assert preparing._packable(crops) == left


def test_where_no_hand_is_left_it_says_what_became_of_them(pictures: Path, tmp_path: Path, mediapipe_models: Path):
    settings = chosen(pictures, tmp_path, mediapipe_models, filters=FilterSettings(least_side=1000))
    with pytest.raises(NothingLeft, match=r"No hand is left to pack \(real pictures: 9 pictures.* small.*broken.png"):
        run(settings)
    assert not (tmp_path / "out").exists()


def test_fakes_and_estimates_of_the_mannequin_model_are_packed_beside_the_real_hands(
    drawn_pictures: Callable[..., Path], tmp_path: Path, mediapipe_models: Path
):
    more = {
        "fakes": FakeTable(base=MANNEQUIN, steps=4, guidance=1.0, batch=2),
        "estimates": EstimateTable(each=1, lowest=100, highest=200),
        "filters": FilterSettings(least_score=0.1, least_side=10, least_sharpness=0, most_cut=0),
        "hands": HandSettings(models=mediapipe_models, threshold=0.1),
    }
    settings = chosen(drawn_pictures(3), tmp_path, mediapipe_models, **more)
    counts = run(settings)
    hands = PreparedHands(tmp_path / "out", check=True)
    by_kind = {kind: {hands.pair[n] for n in range(len(hands)) if hands.kind[n] == kind} for kind in ("real", "fake")}
    assert by_kind["real"] == by_kind["fake"]  # those without a counterpart are dropped
    assert counts["real estimate"] == counts["real picture"]
    assert counts["fake estimate"] == counts["fake picture"]
    finished = {(hands.kind[n], hands.pair[n]): hands[n] for n in range(len(hands)) if hands.level[n] == 0}
    compared = 0
    for number in range(len(hands)):
        if hands.level[number]:
            assert 100 <= hands.level[number] <= 200
            picture, box = hands[number]
            assert picture.shape == (3, 64, 64)
            original, where = finished[hands.kind[number], hands.pair[number]]
            if hands.pair.count(hands.pair[number]) == 4:  # one real hand, so that it is clear which is which
                assert box == pytest.approx(where, abs=2)
                assert (picture.float() - original.float()).abs().mean() < 30
                compared += 1
    assert compared >= 2
    before = times(tmp_path)
    run(settings)
    assert times(tmp_path) == before


def test_real_pictures_are_made_alike_to_the_base_models_and_fakes_stay(
    drawn_pictures: Callable[..., Path], tmp_path: Path, mediapipe_models: Path
):
    fakes = {"base": MANNEQUIN, "steps": 2, "guidance": 1.0, "batch": 2}
    more = {
        "filters": FilterSettings(least_score=0.1, least_side=10, least_sharpness=0, most_cut=0, duplicates=0),
        "hands": HandSettings(models=mediapipe_models, threshold=0.1),
        "pack": PackSettings(unpaired="keep"),
    }
    folders = {alike: tmp_path / str(alike) for alike in (True, False)}
    for alike, folder in folders.items():
        run(chosen(drawn_pictures(2), folder, mediapipe_models, fakes=FakeTable(**fakes, alike=alike), **more))
    made, kept = (PreparedHands(folder / "out") for folder in folders.values())
    assert len(made) == len(kept) > 0
    assert (made.kind, made.source, made.pair) == (kept.kind, kept.source, kept.pair)
    assert set(made.level) == {0}
    for number, kind in enumerate(kept.kind):
        (picture, box), (other, where) = kept[number], made[number]
        change = (picture.float() - other.float()).abs().mean()
        assert box == pytest.approx(where, abs=2)
        assert change == 0 if kind == "fake" else 0 < change < 25
