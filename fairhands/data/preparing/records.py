"""What the stages of a preparation hand on: pictures, what was found in them, crops; as lines of JSON in pieces."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...hands.hand import Box
from ..problems import Problems
from ..sources.example import Example
from .pieces import Pieces

Kind = Literal["real", "fake"]

ROWS = "rows.jsonl"
PROBLEMS = "problems.json"
KEY_LENGTH = 16


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that hands are looked for in.

    Args:
        example: it, and what its dataset says of it.
        pair: shared by a dataset's picture and the pictures that a base model makes from its caption.
        kind: whether it is one of those or the others.
        key: tells it from all other pictures; letters, digits, - and _.
        source: its file's name, relative to its dataset.
    """

    example: Example
    pair: str
    kind: Kind
    key: str
    source: str

    def described(self) -> list[Any]:
        """Plain values that change where the picture or its annotations do."""
        example = self.example
        return [self.key, self.source, *file_state(example.picture), example.hands, example.faces, example.unit]


@dataclass(frozen=True)
class Found:
    """One hand that was found in a picture: its box in pixels, and the detector's score where that saw it."""

    box: Box
    score: float | None = None


@dataclass(frozen=True)
class Crop:
    """A hand cut out of a picture, with what the filters go by.

    Args:
        file: its picture, relative to the folder of the work.
        sha256: of that file.
        key: tells it from all other crops; letters, digits, - and _.
        picture, pair, kind, source: of the picture that it is from; `picture` is its key.
        width, height: of that picture in pixels.
        box: of the hand in that picture, x, y, width, height in pixels.
        hand: of the hand in the crop, likewise.
        score: the detector's, 0..1; None where only an annotation says that there is a hand.
        sharpness: variance of the Laplacian of the hand at a standard size, see `measures.sharpness`.
        hash: 64 bits that are alike for pictures that look alike, see `measures.looks`.
        level: 0 for a finished picture, else the training timestep of the estimate that this is.
    """

    file: str
    sha256: str
    key: str
    picture: str
    pair: str
    kind: Kind
    source: str
    width: int
    height: int
    box: Box
    hand: Box
    score: float | None
    sharpness: float
    hash: int
    level: int = 0

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Crop":
        """The crop of a row that `asdict` made."""
        return cls(**{**row, "box": tuple(row["box"]), "hand": tuple(row["hand"])})


def key_of(*parts: object) -> str:
    """Hexadecimal digits that tell values from others."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:KEY_LENGTH]


def write_piece(folder: Path, rows: Iterable[Any], problems: Problems) -> None:
    """Write what was made in a piece, plain values or dataclasses, and what was wrong."""
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        for row in rows:
            plain = row if isinstance(row, dict) else asdict(row)
            file.write(json.dumps(plain, ensure_ascii=False, sort_keys=True) + "\n")
    told = {"counts": problems.counts, "lines": problems.lines}
    (folder / PROBLEMS).write_text(json.dumps(told, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def rows_of(pieces: Pieces) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each row of all pieces in order, with its piece's folder."""
    for folder in pieces.folders():
        with (folder / ROWS).open(encoding="utf-8") as file:
            for line in file:
                yield folder, json.loads(line)


def collect_problems(pieces: Pieces, into: Problems) -> None:
    """Add what was wrong in all pieces, without logging it once more."""
    for folder in pieces.folders():
        path = folder / PROBLEMS
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            into.counts += Counter(told["counts"])
            into.lines += told["lines"]


def file_state(path: Path) -> list[int | None]:
    """Size and time of a file, None where it is not there; a picture that is not is the next stage's problem."""
    try:
        state = path.stat()
    except OSError:
        return [None, None]
    return [state.st_size, state.st_mtime_ns]
