"""What the stages of a preparation of people hand on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...hands.hand import Box
from ..preparing.records import Picture

FACE, HAND = "face", "hand"
REGIONS = (FACE, HAND)


@dataclass(frozen=True)
class Part:
    """One face or hand in a picture.

    Args:
        region: which of `REGIONS` it is of.
        box: x, y, width, height in pixels of the picture.
        score: the detector's, 0..1; None where only an annotation says that it is there.
        sharpness: variance of the Laplacian at a standard size, see `measures.sharpness`.
        width, height: of the picture in pixels, upright.
        file: of the picture.
    """

    region: str
    box: Box
    score: float | None
    sharpness: float
    width: int
    height: int
    file: Path


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was looked at.

    Args:
        picture: it, and what its dataset says.
        width, height: in pixels, upright as its camera says.
        sharpness: variance of the Laplacian of the whole picture at a standard size.
        hash: 64 bits that are alike for pictures that look alike.
        parts: its faces and hands.
        masks: by region, a file that says where the region is, and that file's hash.
    """

    picture: Picture
    width: int
    height: int
    sharpness: float
    hash: int
    parts: tuple[Part, ...]
    masks: Mapping[str, "Made"] = field(default_factory=dict)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that it shows."""
        return tuple(region for region in REGIONS if any(part.region == region for part in self.parts))

    def boxes(self, region: str) -> tuple[Box, ...]:
        """The boxes of a region."""
        return tuple(part.box for part in self.parts if part.region == region)

    def described(self) -> list[Any]:
        """Plain values that change where something of it does."""
        parts = [[part.region, part.box, part.score] for part in self.parts]
        masks = {region: made.sha256 for region, made in self.masks.items()}
        return [*self.picture.described(), self.width, self.height, parts, masks]


@dataclass(frozen=True)
class Made:
    """A picture that a stage made: its file, and the sha256 of its content."""

    file: Path
    sha256: str


@dataclass(frozen=True, eq=False)
class Person:
    """A picture of people as it is written: with its caption, and its maps by kind ("pose", "depth")."""

    seen: Seen
    text: str
    maps: Mapping[str, Made] = field(default_factory=dict)
