"""Draw mannequin hands into a folder: `python -m trainers.draw_mannequins [--config FILE] [--key value ...]`.

A dataset with annotations and captions for `python -m trainers.prepare_hands --kind metadata`, without anybody's photo.
"""

import json
from pathlib import Path
from typing import Any, Literal

import cv2
from pydantic import Field
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from fairhands.data.mannequin import RIGHT, draw
from fairhands.mannequin_world.prompts import HAND
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.program import stop
from fairhands.whole_files import write_whole

PROGRAM = "python -m trainers.draw_mannequins"
PURPOSE = "Draw mannequin hands into a folder with metadata.jsonl: a dataset to try the other trainers with."
ANY = "any"


class Settings(Configuration):
    """What is drawn."""

    output: Path = Field(default=Path("mannequins"), description="Folder to draw into; made if it is missing.")
    count: int = Field(default=1000, ge=1, le=10**6, description="Pictures to draw.")
    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same pictures.")
    size: int = Field(default=128, ge=64, le=4096, description="Side of the pictures in pixels.")
    kind: Literal["right", "any"] = Field(default=RIGHT, description="Right hands, or right and malformed ones.")
    studio: bool = Field(default=True, description="Hands as the mannequin model draws them; otherwise any scene.")
    text: str = Field(default=HAND, description="The caption of all pictures.")
    workers: int = Field(default=2, ge=0, description="Processes that draw; 0 draws in the program itself.")


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
        lines = draw_all(settings)
        write_whole(settings.output / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command draws {settings.output} anew")
    except OSError as error:
        stop(PROGRAM, 1, f"{settings.output} could not be written: {error}")
    print(f"{settings.output}: {len(lines)} pictures")


def draw_all(settings: Settings) -> list[dict[str, Any]]:
    """Draw the pictures; a line of metadata for each."""
    loader = DataLoader(_Drawn(settings), batch_size=None, num_workers=settings.workers)
    return list(tqdm(loader, desc="drawing", unit="picture"))


class _Drawn(Dataset[dict[str, Any]]):
    """Pictures by number: each is written when it is asked for, and its line of metadata given."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        settings = self.settings
        kind = None if settings.kind == ANY else settings.kind
        scene = draw(settings.seed * 10**6 + number, settings.size, kind=kind, studio=settings.studio)
        name = f"{number:06}.png"
        written, content = cv2.imencode(".png", cv2.cvtColor(scene.picture, cv2.COLOR_RGB2BGR))
        if not written:
            raise OSError(f"{name} could not be encoded as PNG")
        write_whole(settings.output / name, content.tobytes())
        boxes = [[round(float(side), 2) for side in box] for box in scene.boxes]
        return {
            "file_name": name,
            "text": settings.text,
            "objects": {"bbox": boxes, "category": ["hand"] * len(boxes)},
            "kind": list(scene.kind),
        }


if __name__ == "__main__":
    main()
