"""Draw mannequin hands into a folder: `python -m trainers.draw_mannequins [--config FILE] [--key value ...]`.

A dataset with annotations and captions for `python -m trainers.prepare_hands --kind metadata`, without anybody's photo;
with `--figures true` prepared people, whose faces and hands `python -m trainers.mpd_lora` learns from.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
from pydantic import Field
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from fairhands.data.mannequin import RIGHT, Box, draw
from fairhands.mannequin_world.pictures import FIGURE_SIZE, PICTURE_SIZE
from fairhands.mannequin_world.prompts import HAND, PERSON
from fairhands.people.prepared import METADATA, Line, write_prepared
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.program import stop
from fairhands.whole_files import prepare_folder, write_whole

PROGRAM = "python -m trainers.draw_mannequins"
PURPOSE = "Draw mannequin hands into a folder with metadata.jsonl: a dataset to try the other trainers with."
ANY = "any"


class Settings(Configuration):
    """What is drawn."""

    output: Path = Field(default=Path("mannequins"), description="Folder to draw into; made if it is missing.")
    count: int = Field(default=1000, ge=1, le=10**6, description="Pictures to draw.")
    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same pictures.")
    figures: bool = Field(
        default=False,
        description="Prepared people, who raise a hand as the mannequin world's figures do, instead of hands alone.",
    )
    size: int | None = Field(
        default=None,
        ge=64,
        le=4096,
        description=f"Side of the pictures in pixels; left out: {PICTURE_SIZE}, of figures {FIGURE_SIZE}.",
    )
    kind: Literal["right", "any"] = Field(default=RIGHT, description="Right hands, or right and malformed ones.")
    studio: bool = Field(default=True, description="Hands as the mannequin model draws them; otherwise any scene.")
    foliage: bool = Field(
        default=False, description="Leaves in the upper part, behind all else: detail that is no person."
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        description=f'The caption of all pictures; left out: "{HAND}", of figures "{PERSON}".',
    )
    workers: int = Field(default=2, ge=0, description="Processes that draw; 0 draws in the program itself.")


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        prepare_folder(settings.output / METADATA)
        seen = draw_all(settings)
        if settings.figures:
            _write_people(seen, settings)
        else:
            lines = "".join(json.dumps(_line(each, settings)) + "\n" for each in seen)
            write_whole(settings.output / METADATA, lines.encode())
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command draws {settings.output} anew")
    except OSError as error:
        stop(PROGRAM, 1, error)
    print(f"{settings.output}: {len(seen)} pictures")


class Seen(NamedTuple):
    """What a drawn picture, written as the file `name`, shows."""

    name: str
    side: int
    hands: tuple[Box, ...]
    face: Box | None
    kinds: tuple[str, ...]


def draw_all(settings: Settings) -> list[Seen]:
    """Draw the pictures into the output folder."""
    loader = DataLoader(_Drawn(settings), batch_size=None, num_workers=settings.workers)
    return list(tqdm(loader, desc="drawing", unit="picture"))


def _line(seen: Seen, settings: Settings) -> dict[str, Any]:
    """A line of the metadata of hands."""
    boxes = [[round(float(side), 2) for side in box] for box in seen.hands]
    return {
        "file_name": seen.name,
        "text": settings.text or HAND,
        "objects": {"bbox": boxes, "category": ["hand"] * len(boxes)},
        "kind": list(seen.kinds),
    }


def _write_people(seen: list[Seen], settings: Settings) -> None:
    counts = {"pictures": len(seen), "face": len(seen), "hand": len(seen)}
    command = f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip()
    write_prepared(settings.output, _people(seen, settings), ("face", "hand"), (), counts, command)


def _people(seen: list[Seen], settings: Settings) -> Iterator[Line]:
    for name, side, hands, face, _ in seen:
        yield Line(name, settings.text or PERSON, side, side, {"face": (face,) if face else (), "hand": hands})


class _Drawn(Dataset[Seen]):
    """Pictures by number: each is written when it is asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.count

    def __getitem__(self, number: int) -> Seen:
        settings = self.settings
        kind = None if settings.kind == ANY else settings.kind
        size = settings.size or (FIGURE_SIZE if settings.figures else PICTURE_SIZE)
        seed = settings.seed * 10**6 + number
        body, studio, foliage = settings.figures, settings.studio, settings.foliage
        scene = draw(seed, size, kind=kind, body=body, studio=studio, foliage=foliage)
        name = f"{number:06}.png"
        written, content = cv2.imencode(".png", cv2.cvtColor(scene.picture, cv2.COLOR_RGB2BGR))
        if not written:
            raise OSError(f"{name} could not be encoded as PNG")
        write_whole(settings.output / name, content.tobytes())
        return Seen(name, size, scene.boxes, scene.face_box, scene.kind)


if __name__ == "__main__":
    main()
