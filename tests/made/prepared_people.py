"""Prepared people made of drawn ones, for tests of what reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from fairhands.data.mannequin import draw
from fairhands.hands.hand import Box
from fairhands.people.prepared import Line, write_prepared

SIDE = 128
CAPTIONS = ("right hand", "malformed hand", "hand")


def make_prepared_people(
    folder: Path,
    count: int = 6,
    size: int | tuple[int, int] = SIDE,
    captions: Sequence[str] = CAPTIONS,
    regions: Sequence[str] = ("face", "hand"),
    without: Sequence[int] = (),
    conditioning: Sequence[str] = (),
) -> Path:
    """Write a folder as `python -m trainers.prepare_humans` does: people with both hands raised.

    Args:
        folder: new.
        count: how many pictures.
        size: side, or height and width, in pixels.
        captions: of the pictures in turn; by default those that the mannequin model knows.
        regions: of "face" and "hand"; others have no boxes.
        without: numbers of pictures that have no boxes at all.
        conditioning: kinds of pictures for a ControlNet, each of the boxes in another grey on black.
    """
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(count):
        drawn = draw(number, size, hands=2, body=True)
        name = f"images/{number}.png"
        Image.fromarray(drawn.picture).save(folder / name)
        boxes = {"hand": drawn.boxes, "face": (drawn.face_box,) if drawn.face_box else ()}
        own = {region: () if number in without else boxes.get(region, ()) for region in regions}
        height, width = drawn.picture.shape[:2]
        beside = {kind: f"{kind}_{number}.png" for kind in conditioning}
        for grey, file in enumerate(beside.values(), start=1):
            _boxes_on_black(boxes, (width, height), 255 // grey).save(folder / file)
        lines.append(Line(name, captions[number % len(captions)], width, height, own, conditioning=beside))
    write_prepared(folder, lines, regions, conditioning, {"pictures": count}, "tests")
    return folder


def _boxes_on_black(boxes: Mapping[str, Sequence[Box]], size: tuple[int, int], grey: int) -> Image.Image:
    picture = Image.new("RGB", size)
    for x, y, width, height in (box for several in boxes.values() for box in several):
        picture.paste((grey, grey, grey), (round(x), round(y), round(x + width), round(y + height)))
    return picture
