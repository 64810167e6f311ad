"""Poses and depths come from the first source that has one, in the picture's size."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing_humans.maps import make_depth_maps, make_pose_maps, maps_of
from fairhands.data.preparing_humans.records import Seen
from fairhands.data.preparing_humans.settings import PoseSettings

MakeSeen = Callable[..., Seen]
BODY = np.stack([np.linspace(10, 110, 17), np.linspace(90, 10, 17), np.full(17, 2)], axis=1).astype(np.float32)


def poses(seen: Seen, folder: Path, given: bool = False, **chosen) -> np.ndarray | None:
    pieces = Pieces(folder / "pose", chosen, 4)
    make_pose_maps("test", [seen], PoseSettings(**chosen), given, pieces)
    return _only(pieces, seen)


def depths(seen: Seen, folder: Path, load: Callable | None, given: bool = False) -> np.ndarray | None:
    pieces = Pieces(folder / "depth", {}, 4)
    make_depth_maps("test", [seen], load, given, pieces)
    return _only(pieces, seen)


def _only(pieces: Pieces, seen: Seen) -> np.ndarray | None:
    made = maps_of(pieces)
    if not made:
        return None
    with Image.open(made[seen.picture.key].file) as file:
        return np.array(file)


def problems(folder: Path) -> str:
    return (folder / "000000" / "problems.json").read_text()


def test_annotated_bodies_are_drawn(make_seen: MakeSeen, tmp_path: Path):
    drawn = poses(make_seen(example={"keypoints": ({"body": BODY},)}), tmp_path)
    assert drawn is not None
    assert drawn.shape == (100, 120, 3)
    assert tuple(drawn[90, 10]) == (255, 0, 0)  # the nose


def test_a_json_file_comes_before_the_annotations_and_a_broken_one_is_named(make_seen: MakeSeen, tmp_path: Path):
    seen = make_seen(example={"keypoints": ({"body": BODY},)})
    of_annotations = poses(seen, tmp_path)
    beside = tmp_path / "a.json"
    person = {"pose_keypoints_2d": [0.5, 0.5, 1.0, *[0.0] * 51]}
    beside.write_text(json.dumps({"people": [person]}))
    drawn = poses(seen, tmp_path)
    assert drawn is not None
    assert tuple(drawn[50, 60]) == (255, 0, 0)
    assert not drawn[80:].any()
    np.testing.assert_array_equal(poses(seen, tmp_path, sources=("keypoints", "json")), of_annotations)
    for content in ('{"people": 3}', '{"people": [{}]}'):
        beside.write_text(content)
        np.testing.assert_array_equal(poses(seen, tmp_path), of_annotations)
    beside.write_text("no pose")
    poses(seen, tmp_path)
    assert "a.json: not JSON" in problems(tmp_path / "pose")


def test_without_any_source_there_is_no_map(make_seen: MakeSeen, tmp_path: Path):
    assert poses(make_seen(), tmp_path) is None


@pytest.mark.parametrize("make", [poses, lambda seen, folder, given: depths(seen, folder, None, given)])
def test_a_datasets_own_picture_is_taken_where_it_is_of_that_kind(make: Callable, make_seen: MakeSeen, tmp_path: Path):
    pixels = np.zeros((50, 60, 3), np.uint8)
    pixels[:, 30:] = (10, 200, 30)
    Image.fromarray(pixels).save(tmp_path / "given.png")
    seen = make_seen(example={"conditioning": tmp_path / "given.png"})
    drawn = make(seen, tmp_path, given=True)
    assert drawn.shape == (100, 120, 3)
    assert (tuple(drawn[50, 20]), tuple(drawn[50, 100])) == ((0, 0, 0), (10, 200, 30))
    assert make(seen, tmp_path / "other", given=False) is None


def test_a_given_picture_is_turned_as_its_file_says(make_seen: MakeSeen, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 120)).save(tmp_path / "given.jpg", exif=exif)
    drawn = poses(make_seen(example={"conditioning": tmp_path / "given.jpg"}), tmp_path, given=True)
    assert drawn is not None
    assert drawn.shape == (100, 120, 3)


def test_a_given_picture_of_another_shape_is_named(make_seen: MakeSeen, tmp_path: Path):
    Image.new("RGB", (60, 60)).save(tmp_path / "given.png")
    assert poses(make_seen(example={"conditioning": tmp_path / "given.png"}), tmp_path, given=True) is None
    assert "60 x 60, while the picture that it belongs to is 120 x 100" in problems(tmp_path / "pose")


def test_depths_of_a_model_are_drawn_and_the_model_is_only_loaded_where_it_is_needed(
    make_seen: MakeSeen, tmp_path: Path
):
    loaded = []

    def load() -> Callable[[Image.Image], np.ndarray]:
        loaded.append(1)
        return lambda picture: np.linspace(3, 9, picture.width)[None].repeat(picture.height, axis=0)

    seen = make_seen()
    drawn = depths(seen, tmp_path, load)
    assert drawn is not None
    assert drawn.shape == (100, 120, 3)
    assert (drawn[0, 0].max(), drawn[0, -1].min()) == (0, 255)
    depths(seen, tmp_path, load)
    assert loaded == [1]


def test_a_depth_that_is_not_finite_is_named_and_stops_nothing(make_seen: MakeSeen, tmp_path: Path):
    assert depths(make_seen(), tmp_path, lambda: lambda picture: np.full((100, 120), np.nan)) is None
    assert "a.png: the depth is not finite" in problems(tmp_path / "depth")
