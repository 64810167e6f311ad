"""The pictures that a ControlNet is shown: checked once before a training, which should not meet a broken one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ..data.preparing.pieces import Pieces
from ..data.preparing.records import rows_of, write_piece
from ..data.problems import Problems
from ..data.sources.faults import Fault
from .item import Item, file_state
from .latents import Kept
from .reading import read_sized

CHECKED_IN_PIECE = 256


def check_pictures(pictures: Sequence[Kept], kind: str, workers: int, pieces: Pieces) -> None:
    """Make this process's pieces: read each picture's conditioning of that kind once, and note those that fail.

    Raises:
        OSError: the disk is full or not writable.
    """

    def described(picture: Kept) -> list[Any]:
        item = picture.item
        return [file_state(item.folder, item.line.conditioning[kind]), item.size]

    make = partial(_check_piece, kind=kind, workers=workers)
    pieces.make(f"checking {kind} pictures", pictures, described, make)


def checked(pictures: Sequence[Kept], pieces: Pieces, problems: Problems) -> list[Kept]:
    """Those of the pictures whose conditioning can be used; the others' faults are noted."""
    wrong = set()
    for folder, row in rows_of(pieces):
        number = int(folder.name) * pieces.size + row["at"]
        Fault(*row["fault"]).note(problems, pictures[number].item.place)
        wrong.add(number)
    return [picture for number, picture in enumerate(pictures) if number not in wrong]


def _check_piece(pictures: Sequence[Kept], folder: Path, kind: str, workers: int) -> None:
    with ThreadPoolExecutor(workers) as threads:
        faults = list(threads.map(partial(_fault, kind=kind), (picture.item for picture in pictures)))
    rows = [{"at": at, "fault": [fault.kind, fault.what]} for at, fault in enumerate(faults) if fault is not None]
    write_piece(folder, rows, Problems())


def _fault(item: Item, kind: str) -> Fault | None:
    try:
        read_sized(item.file(item.line.conditioning[kind]), item.size, "conditioning")
    except Fault as fault:
        return fault
    return None
