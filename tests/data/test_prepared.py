"""Prepared hands are read as they were packed, and what is damaged is named."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fairhands.data.prepared import PreparedHands, PreparedHandsError
from fairhands.data.preparing.packing import pack
from fairhands.data.preparing.records import Crop, Kind
from fairhands.data.preparing.settings import PackSettings

SIDE = 24


def crop(number: int, work: Path) -> Crop:
    kind: Kind = "fake" if number % 2 else "real"
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(work / f"{number}.png")
    shared = dict(width=90, height=90, box=(0, 0, 9, 9), sharpness=1.0, hash=0, sha256="", picture="")
    return Crop(
        **shared,
        file=f"{number}.png",
        key=f"crop{number}",
        pair=f"pair{number // 2}",
        kind=kind,
        source=f"{number}.jpg",
        hand=(1.5, 2.0, 8.0, 9.25 + number),
        score=None if number == 3 else number / 10,
        level=100 * number,
    )


@pytest.fixture(params=["shards", "folder"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("work", "hands"):
        (tmp_path / name).mkdir()
    crops = [crop(number, tmp_path / "work") for number in range(7)]
    texts = {f"pair{number}": f"caption {number}" for number in range(4)}
    settings = PackSettings(layout=request.param, crops_in_shard=3)
    pack(crops, texts, tmp_path / "work", tmp_path / "hands", settings, {})
    return tmp_path / "hands"


def pixels(number: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).permute(2, 0, 1)


def test_every_crop_comes_back_with_all_that_is_known_of_it(folder: Path):
    hands = PreparedHands(folder, check=True)
    assert len(hands) == 7
    for number in (6, 0, 3, 1, 2, 5, 4):
        picture, box = hands[number]
        assert picture.dtype == torch.uint8
        assert torch.equal(picture, pixels(number))
        assert box == (1.5, 2.0, 8.0, 9.25 + number)
    assert hands.kind == ("real", "fake") * 3 + ("real",)
    assert hands.pair[2:4] == ("pair1", "pair1")
    assert hands.level == tuple(range(0, 700, 100))
    assert hands.text[5] == "caption 2"
    assert hands.source[1] == "1.jpg"
    assert hands.score[2:4] == (0.2, None)
    assert hands.manifest["counts"]["crops"] == 7


def test_it_can_be_pickled_and_read_by_several_processes(folder: Path):
    hands = PreparedHands(folder)
    first = hands[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(hands))[0][0], first)
    loader = DataLoader(hands, batch_size=None, num_workers=2)
    for number, (picture, _) in enumerate(loader):
        assert torch.equal(picture, pixels(number))


def test_a_folder_without_a_manifest_or_with_another_is_refused_in_a_sentence(folder: Path):
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, words in (
        ({"kind": "people"}, "says kind 'people', expected \"hand pairs\""),
        ({"format": 9}, "is of format 9, expected 1"),
    ):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(PreparedHandsError, match=words):
            PreparedHands(folder)
    for content in ("{", "[]", "\xff"):
        (folder / "manifest.json").write_text(content, encoding="latin-1")
        with pytest.raises(PreparedHandsError, match=r"manifest.json"):
            PreparedHands(folder)
    with pytest.raises(PreparedHandsError, match=r"holds no manifest.json: prepared hands are written by `python -m"):
        PreparedHands(folder.parent)


@pytest.mark.parametrize(
    "line",
    ["{", "", "[]", "{}", '{"file_name": 3}', '"kind": "neither"', '"hand": [1, 2, 3]', '"hand": ["a", 1, 2, 3]'],
)
def test_a_broken_line_is_named(line: str, folder: Path):
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    key = line.partition(":")[0]
    whole = json.loads(lines[2])
    lines[2] = json.dumps({**whole, **json.loads(f"{{{line}}}")}) if key.strip('"') in whole else line
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.raises(PreparedHandsError, match=r"metadata.jsonl, line 3 is broken") as caught:
        PreparedHands(folder)
    assert "\n" not in str(caught.value)


def test_a_crop_that_cannot_be_read_is_named_and_others_can(folder: Path):
    hands = PreparedHands(folder)
    file = folder / hands._rows[4].file_name
    if file.is_file():
        file.write_bytes(b"no picture")
    else:
        file = file.parent
        content = file.read_bytes()
        file.write_bytes(content.replace(b"PNG", b"GNP"))
    with pytest.raises(PreparedHandsError, match=r"crop4.png cannot be read"):
        hands[4]
    assert torch.equal(hands[0][0], pixels(0))
    file.unlink()
    with pytest.raises(PreparedHandsError, match=r"crop4.png cannot be read"):
        hands[4]


def test_a_changed_or_missing_file_fails_the_check_of_hashes(folder: Path):
    name = next(name for name in PreparedHands(folder).manifest["sha256"] if name != "metadata.jsonl")
    with (folder / name).open("ab") as file:
        file.write(b"x")
    PreparedHands(folder)
    with pytest.raises(PreparedHandsError, match=f"{name} was changed or damaged"):
        PreparedHands(folder, check=True)
    (folder / name).unlink()
    with pytest.raises(PreparedHandsError, match=f"{name} is missing"):
        PreparedHands(folder, check=True)
