"""Packed crops: layouts that other programs read, and the same bytes each time."""

import json
import tarfile
from pathlib import Path

import pytest

from fairhands.data.preparing.packing import counts, hashes, pack, paired, sha256_of
from fairhands.data.preparing.records import Crop
from fairhands.data.preparing.settings import PackSettings

TEXTS = {f"pair{number}": f"a händ, number {number}" for number in range(4)}


def packed(crops: list[Crop], folder: Path, **settings) -> Path:
    folder.mkdir()
    pack(crops, TEXTS, folder.parent / "work", folder, PackSettings(**settings), {"command": "test"})
    return folder


def test_shards_are_tar_files_with_a_picture_its_line_and_its_text_for_each_crop(crops: list[Crop], tmp_path: Path):
    folder = packed(crops, tmp_path / "packed", crops_in_shard=10)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    with (
        tarfile.open(folder / "shards" / "000000.tar") as first,
        tarfile.open(folder / "shards" / "000001.tar") as last,
    ):
        names = first.getnames() + last.getnames()
        assert len(first.getnames()) == 30
        first_line = json.loads(first.extractfile("pair0_real_0.json").read())
        assert first.extractfile("pair0_real_0.txt").read().decode() == "a händ, number 0"
        picture = first.extractfile("pair0_real_0.png").read()
    assert names == [f"{crop.key}.{ending}" for crop in crops for ending in ("png", "json", "txt")]
    assert picture == (tmp_path / "work" / "pair0_real_0.png").read_bytes()
    assert [line["file_name"] for line in lines][8:11] == [
        "shards/000000.tar/pair2_fake_0.png",
        "shards/000000.tar/pair3_real_0.png",
        "shards/000001.tar/pair3_real_1.png",
    ]
    assert (
        lines[0]
        == first_line
        == {
            "file_name": "shards/000000.tar/pair0_real_0.png",
            "text": "a händ, number 0",
            "kind": "real",
            "pair": "pair0",
            "level": 0,
            "hand": [8.0, 10.0, 16.0, 12.0],
            "score": 0.75,
            "source": "pair0.jpg",
        }
    )
    assert lines[1]["score"] is None
    assert lines[-1]["text"] == ""


def test_a_folder_of_pictures_has_the_same_lines(crops: list[Crop], tmp_path: Path):
    folder = packed(crops, tmp_path / "packed", layout="folder", crops_in_shard=8)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["file_name"] == "images/000000/pair0_real_0.png"
    assert lines[8]["file_name"] == "images/000001/pair2_fake_0.png"
    assert all((folder / line["file_name"]).is_file() for line in lines)
    assert len(list(folder.rglob("*.png"))) == len(lines) == len(crops)


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_the_same_crops_give_the_same_bytes_whenever_and_wherever(layout: str, crops: list[Crop], tmp_path: Path):
    first = packed(crops, tmp_path / "first", layout=layout)
    for crop in crops:
        (tmp_path / "work" / crop.file).touch()
    second = packed(crops, tmp_path / "second", layout=layout)
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()
    assert hashes(first) == hashes(second)


def test_the_manifest_says_what_it_is_and_the_hash_of_every_file(crops: list[Crop], tmp_path: Path):
    folder = packed(crops, tmp_path / "packed")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["kind"], manifest["format"], manifest["command"]) == ("hand pairs", 1, "test")
    assert manifest["counts"] == {"crops": 14, "pairs": 5, "fake picture": 4, "real picture": 10}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert manifest["sha256"] == {name: sha256_of(folder / name) for name in files - {"manifest.json"}}


def test_only_pairs_with_both_kinds_are_paired(crops: list[Crop]):
    assert paired(crops) == crops[:-2]
    assert paired(crops[:2]) == []
    assert counts(paired(crops))["pairs"] == 4
