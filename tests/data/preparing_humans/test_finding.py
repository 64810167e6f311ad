"""Faces and hands come from masks, annotations and detectors, and each picture is measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.data.preparing.boxes import overlap
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.records import Picture
from fairhands.data.preparing_humans.finding import detectors, find_people, found_people
from fairhands.data.preparing_humans.records import FACE, HAND, Seen
from fairhands.data.preparing_humans.settings import FaceSettings, HandSettings, Settings
from fairhands.data.sources.example import Example

SCENE = draw(3, 256, hands=2, body=True)  # both hands and the face are found by MediaPipe
FACE_BOX = tuple(float(side) for side in SCENE.face_box or ())
ANNOTATED = Settings(faces=FaceSettings(boxes="annotated"), hands=HandSettings(boxes="annotated"))


def picture(folder: Path, **example) -> Picture:
    path = folder / "a.png"
    Image.fromarray(SCENE.picture).save(path)
    return Picture(Example(path, **example), "a", "real", "a_real", "a.png")


def found(pictures: list[Picture], settings: Settings, folder: Path) -> tuple[list[Seen], str]:
    """What the stage hands on, and what it says of problems."""
    pieces = Pieces(folder / "work", {}, 8)
    find_people("test", pictures, settings, pieces)
    return found_people(pieces, pictures), (folder / "work" / "000000" / "problems.json").read_text()


def mask(folder: Path, size: tuple[int, int] = (256, 256)) -> Path:
    """White in the lower left quarter."""
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[size[1] // 2 :, : size[0] // 2] = 255
    Image.fromarray(pixels).save(folder / "mask.png")
    return folder / "mask.png"


def test_faces_and_hands_are_detected_where_nothing_is_annotated(tmp_path: Path, mediapipe_models: Path):
    settings = Settings(models=mediapipe_models, hands=HandSettings(threshold=0.3))
    ((seen,), _) = found([picture(tmp_path)], settings, tmp_path)
    (face,) = seen.boxes(FACE)
    assert overlap(face, FACE_BOX) > 0.4
    assert len(seen.boxes(HAND)) == 2
    assert all(max(overlap(box, hand) for hand in SCENE.boxes) > 0.4 for box in seen.boxes(HAND))
    assert all(part.score is not None and part.score > 0.3 for part in seen.parts)
    assert (seen.width, seen.height) == (256, 256)


def test_annotated_faces_are_compared_with_detected_ones(tmp_path: Path, mediapipe_models: Path):
    wrong = (0.0, 0.0, 20.0, 20.0)
    hands = HandSettings(boxes="annotated")
    expected = {
        ("keep", "keep", "ignore"): {FACE_BOX, wrong},
        ("keep", "drop", "ignore"): {FACE_BOX},
        ("replace", "drop", "ignore"): None,
    }
    for number, (choices, boxes) in enumerate(expected.items()):
        table = FaceSettings(**dict(zip(("confirmed", "unconfirmed", "unannotated"), choices, strict=True)))
        settings = Settings(models=mediapipe_models, faces=table, hands=hands)
        (tmp_path / str(number)).mkdir()
        ((seen,), _) = found([picture(tmp_path, faces=(FACE_BOX, wrong))], settings, tmp_path / str(number))
        if boxes is None:
            assert set(seen.boxes(FACE)).isdisjoint({FACE_BOX, wrong})
            assert len(seen.boxes(FACE)) == 1
        else:
            assert set(seen.boxes(FACE)) == boxes
    added = Settings(models=mediapipe_models, faces=FaceSettings(), hands=hands)
    ((seen,), _) = found([picture(tmp_path, faces=())], added, tmp_path)
    assert len(seen.boxes(FACE)) == 1


def test_annotations_alone_need_no_detector(tmp_path: Path):
    ((seen,), said) = found([picture(tmp_path, faces=((0, 0, 9, 9), (900, 0, 9, 9)))], ANNOTATED, tmp_path)
    assert seen.boxes(FACE) == ((0, 0, 9, 9),)
    assert seen.parts[0].score is None
    assert "1 of 2 boxes" in said


@pytest.mark.parametrize("size", [(256, 256), (64, 64), (512, 512)])
def test_a_mask_counts_instead_of_boxes_in_the_size_of_the_picture(size: tuple[int, int], tmp_path: Path):
    masked = picture(tmp_path, masks={HAND: mask(tmp_path, size)}, hands=((0, 0, 9, 9),))
    ((seen,), _) = found([masked], ANNOTATED, tmp_path)
    (box,) = seen.boxes(HAND)
    assert box == pytest.approx((0, 128, 128, 128), abs=2)
    with Image.open(seen.masks[HAND].file) as file:
        assert (file.size, file.mode) == ((256, 256), "L")
        assert np.array(file).mean() == pytest.approx(255 / 4, abs=1)


def test_masks_of_another_shape_and_broken_ones_are_named_and_boxes_count(tmp_path: Path):
    (tmp_path / "broken.png").write_text("no picture")
    for masks, words in (
        ({HAND: mask(tmp_path, (256, 200))}, "256 x 200"),
        ({HAND: tmp_path / "broken.png"}, "broken.png"),
    ):
        masked = picture(tmp_path, masks=masks, hands=((0, 0, 9, 9),))
        ((seen,), said) = found([masked], ANNOTATED, tmp_path)
        assert seen.masks == {}
        assert seen.boxes(HAND) == ((0, 0, 9, 9),)
        assert words in said


def test_detected_boxes_alone_leave_masks_out(tmp_path: Path, mediapipe_models: Path):
    chosen = Settings(models=mediapipe_models, hands=HandSettings(boxes="detected", threshold=0.3))
    ((seen,), _) = found([picture(tmp_path, masks={HAND: mask(tmp_path)})], chosen, tmp_path)
    assert seen.masks == {}
    assert len(seen.boxes(HAND)) == 2


def test_a_picture_is_measured_upright(tmp_path: Path):
    wide = Image.fromarray(SCENE.picture[:128])
    exif = Image.Exif()
    exif[0x0112] = 6  # its camera was turned
    wide.save(tmp_path / "turned.jpg", exif=exif)
    turned = Picture(Example(tmp_path / "turned.jpg"), "t", "real", "t_real", "turned.jpg")
    ((seen,), _) = found([turned], ANNOTATED, tmp_path)
    assert (seen.width, seen.height) == (128, 256)


def test_a_blurred_picture_is_less_sharp_and_looks_alike(tmp_path: Path):
    sharp = picture(tmp_path)
    small = Image.fromarray(SCENE.picture).resize((32, 32)).resize((256, 256))
    small.save(tmp_path / "b.png")
    blurred = Picture(Example(tmp_path / "b.png"), "b", "real", "b_real", "b.png")
    ((one, other), _) = found([sharp, blurred], ANNOTATED, tmp_path)
    assert other.sharpness < one.sharpness / 5
    assert (one.hash ^ other.hash).bit_count() <= 6


def test_a_missing_detector_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"face_detection_full_range_sparse.tflite, needed for finding faces"):
        detectors(Settings(models=tmp_path))
