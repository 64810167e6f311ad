"""Hands are taken from annotations, from the detector, or from both."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.data.preparing.boxes import overlap
from fairhands.data.preparing.hands import detector, find_hands, found_hands, hands_of
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.records import Picture
from fairhands.data.preparing.settings import HandSettings
from fairhands.data.problems import Problems
from fairhands.data.sources.example import Example

SCENE = draw(1, 256)  # a hand that MediaPipe finds
HAND = tuple(float(side) for side in SCENE.boxes[0])


def picture(hands: tuple | None, path: Path = Path("a.png"), unit: str = "pixels") -> Picture:
    return Picture(Example(path, hands=hands, unit=unit), "a", "real", "a_real", "a.png")


def chosen(models: Path, **settings) -> HandSettings:
    return HandSettings(models=models, threshold=0.3, **settings)


def test_annotated_boxes_need_no_detector_and_are_clipped():
    problems = Problems()
    settings = HandSettings(boxes="annotated")
    hands = hands_of(picture(((-10, 0, 30, 20), (300, 0, 5, 5))), SCENE.picture, settings, None, problems)
    assert [(hand.box, hand.score) for hand in hands] == [((0, 0, 20, 20), None)]
    assert problems.lines == ["box outside: a.png: 1 of 2 boxes"]
    assert hands_of(picture(None), SCENE.picture, settings, None, problems) == []


def test_boxes_in_shares_of_the_picture_become_pixels():
    settings = HandSettings(boxes="annotated")
    (hand,) = hands_of(picture(((0.25, 0.5, 0.5, 0.25),), unit="share"), SCENE.picture, settings, None, Problems())
    assert hand.box == (64, 128, 128, 64)


def test_the_detector_alone_ignores_annotations(mediapipe_models: Path):
    settings = chosen(mediapipe_models, boxes="detected")
    (hand,) = hands_of(picture(((0, 0, 9, 9),)), SCENE.picture, settings, detector(settings), Problems())
    assert overlap(hand.box, HAND) > 0.5
    assert hand.score is not None


def test_both_compare_and_where_nothing_is_annotated_the_detector_decides(mediapipe_models: Path):
    settings = chosen(mediapipe_models, confirmed="keep", unconfirmed="drop")
    finder = detector(settings)
    annotated = picture((HAND, (0, 0, 9, 9)))
    (hand,) = hands_of(annotated, SCENE.picture, settings, finder, Problems())
    assert hand.box == HAND
    assert hand.score is not None
    (alone,) = hands_of(picture(None), SCENE.picture, settings, finder, Problems())
    assert overlap(alone.box, HAND) > 0.5
    assert hands_of(picture(()), SCENE.picture, settings, finder, Problems()) == []  # it says that there is none
    replacing = chosen(mediapipe_models)  # the default
    assert hands_of(annotated, SCENE.picture, replacing, finder, Problems()) == [alone]
    adding = chosen(mediapipe_models, unannotated="add")
    assert hands_of(picture(()), SCENE.picture, adding, finder, Problems()) == [alone]


def test_the_stage_names_what_it_cannot_read_and_goes_on(tmp_path: Path, mediapipe_models: Path):
    Image.fromarray(SCENE.picture).save(tmp_path / "hand.png")
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "none.png")
    (tmp_path / "broken.png").write_text("")
    pictures = [
        Picture(Example(tmp_path / f"{name}.png"), name, "real", name, f"{name}.png")
        for name in ("broken", "hand", "none")
    ]
    pieces = Pieces(tmp_path / "work", {}, 2)
    find_hands("test", pictures, chosen(mediapipe_models), pieces)
    found = found_hands(pieces)
    assert {key: len(hands) for key, hands in found.items()} == {"hand": 1, "none": 0}
    assert "broken.png" in (tmp_path / "work" / "000000" / "problems.json").read_text()


def test_a_missing_detector_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"hand_landmarker.task, needed for finding hands, is not in"):
        detector(HandSettings(models=tmp_path))
