"""Folders of drawn hands, and crops, for the stages of a preparation."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.data.preparing.packing import sha256_of
from fairhands.data.preparing.records import Crop, Kind

Drawn = Callable[..., Path]


@pytest.fixture(scope="session")
def drawn_pictures(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Makes a folder of that many pictures of one or two drawn hands each, with captions; the same ones each time."""

    def make(count: int, size: int = 192, caption: str = "right hand") -> Path:
        folder = tmp_path_factory.mktemp("pictures")
        for number in range(count):
            Image.fromarray(draw(number, size, hands=1 + number % 2).picture).save(folder / f"{number:03}.png")
            (folder / f"{number:03}.txt").write_text(caption)
        return folder

    return make


@pytest.fixture
def crops(tmp_path: Path) -> list[Crop]:
    """Crops of five pairs in the folder `work`: two real hands and a fake each, but for the last, without a fake."""
    work = tmp_path / "work"
    work.mkdir()
    made = []
    for number in range(5):
        for kind, place in (("real", 0), ("real", 1), ("fake", 0)):
            if (number, kind) != (4, "fake"):
                made.append(_crop(work, f"pair{number}", kind, place))
    return made


def _crop(work: Path, pair: str, kind: Kind, place: int) -> Crop:
    key = f"{pair}_{kind}_{place}"
    Image.new("RGB", (32, 32), (len(key) * 3, place * 90, 200 if kind == "real" else 0)).save(work / f"{key}.png")
    return Crop(
        file=f"{key}.png",
        sha256=sha256_of(work / f"{key}.png"),
        key=key,
        picture=f"{pair}_{kind}",
        pair=pair,
        kind=kind,
        source=f"{pair}.jpg",
        width=100,
        height=80,
        box=(20.0, 20.0, 40.0, 30.0),
        hand=(8.0, 10.0, 16.0, 12.0),
        score=0.75 if place == 0 else None,
        sharpness=50.0,
        hash=place,
    )
