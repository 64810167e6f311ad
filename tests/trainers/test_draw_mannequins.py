import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.people.prepared import PreparedPeople
from trainers import draw_mannequins


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["draw_mannequins", "--workers", "0", *arguments])
    draw_mannequins.main()


def test_figures_are_prepared_people_with_right_hands_and_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--figures", "true", "--count", "3", "--seed", "7", "--output", str(tmp_path / "people"))
    people = PreparedPeople(tmp_path / "people", check=True)
    assert (len(people), people.regions, people.conditioning) == (3, ("face", "hand"), ())
    assert people.manifest["counts"] == {"pictures": 3, "face": 3, "hand": 3}
    assert people.manifest["command"].startswith("python -m trainers.draw_mannequins --workers 0 --figures true")
    for number, line in enumerate(people.lines):
        scene = draw(7 * 10**6 + number, 256, kind="right", body=True, studio=True)
        picture = np.asarray(Image.open(people.path(line.file_name)))
        assert np.array_equal(picture, scene.picture)
        assert (line.text, line.width, line.height) == ("person", 256, 256)
        assert [tuple(box) for box in line.boxes["hand"]] == list(scene.boxes)
        assert [tuple(box) for box in line.boxes["face"]] == [scene.face_box]


def test_hands_come_with_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--kind", "any", "--count", "4", "--size", "96", "--output", str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        scene = draw(number, 96, studio=True)
        assert line["text"] == "hand"
        assert line["objects"] == {"bbox": [list(map(float, scene.boxes[0]))], "category": ["hand"]}
        assert line["kind"] == list(scene.kind)
        assert Image.open(tmp_path / line["file_name"]).size == (96, 96)
    assert not (tmp_path / "manifest.json").exists()
