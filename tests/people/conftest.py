"""A folder of prepared people, drawn so that picture, mask and conditioning can be told to lie alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.base_models import BaseModel
from fairhands.hands.hand import Box
from fairhands.people.people import People
from fairhands.people.prepared import Line, write_prepared
from fairhands.people.settings import DataSettings
from tests.adapters.bases import tiny

SIZES = ((128, 128), (200, 120), (120, 200), (160, 160))
FACE: Box = (20.0, 10.0, 30.0, 40.0)
HAND: Box = (70.0, 60.0, 20.0, 16.0)
CAPTIONS = ("hand", "right hand", "malformed hand")


@dataclass
class Folder:
    """Prepared people: dark noise, in which the face is red, the hand green; the conditioning is the same picture.

    Every third picture has its hand's mask in a file instead of a box.
    """

    path: Path
    lines: list[Line] = field(default_factory=list)

    def add(self, number: int, size: tuple[int, int], **changes: object) -> None:
        width, height = size
        pixels = np.random.default_rng(number).integers(0, 40, (height, width, 3), np.uint8)
        for box, channel in ((FACE, 0), (HAND, 1)):
            pixels[inside(box)] = 0
            pixels[(*inside(box), channel)] = 255
        names = {kind: f"{kind}/{number}.png" for kind in ("images", "pose", "masks")}
        for name in names.values():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.path / names["images"])
        Image.fromarray(pixels).save(self.path / names["pose"])
        mask = np.zeros((height, width), np.uint8)
        mask[inside(HAND)] = 255
        Image.fromarray(mask).save(self.path / names["masks"])
        by_mask = number % 3 == 2
        boxes: Mapping[str, Sequence[Box]] = {"face": (FACE,)} if by_mask else {"face": (FACE,), "hand": (HAND,)}
        masks = {"hand": names["masks"]} if by_mask else {}
        line = Line(names["images"], CAPTIONS[number % 3], width, height, boxes, masks, {"pose": names["pose"]})
        self.lines.append(replace(line, **changes))

    def write(self) -> None:
        write_prepared(self.path, self.lines, ("face", "hand"), ("pose",), {}, "tests")


def inside(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box in whole pixels."""
    x, y, width, height = map(int, box)
    return slice(y, y + height), slice(x, x + width)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Twelve pictures of four sizes."""
    found = Folder(tmp_path / "people")
    for number in range(12):
        found.add(number, SIZES[number % len(SIZES)])
    found.write()
    return found


@pytest.fixture(scope="session")
def new_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BaseModel]:
    """Gives a small base model of a family, the same each time."""
    return cache(lambda family: tiny(family, tmp_path_factory.mktemp("bases") / family))


NewPeople = Callable[..., People]


@pytest.fixture
def new_people(folder: Folder, tmp_path: Path, new_base: Callable[[str], BaseModel]) -> NewPeople:
    """Makes people of the folder, for a tiny SD 1.5 unless a base is given."""

    def make(
        base: BaseModel | None = None,
        regions: Sequence[str] = ("face", "hand"),
        conditioning: str | None = None,
        encode_text: bool = True,
        mark: str = "base",
        seed: int = 0,
        **settings: object,
    ) -> People:
        chosen = DataSettings.model_validate(
            {"prepared": (folder.path,), "resolution": 64, "bucket_step": 16, **settings}
        )
        base = base or new_base("SD 1.5")
        options = {"conditioning": conditioning, "encode_text": encode_text, "seed": seed}
        return People(chosen, base, regions, tmp_path / "cache", mark, **options)

    return make


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairhands.people.people.PICTURES_IN_PIECE", 4)
    monkeypatch.setattr("fairhands.people.people.CAPTIONS_IN_PIECE", 3)
