"""A picture of prepared people that is to be encoded, and how caches tell it from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..hands.hand import Box
from .buckets import Size
from .prepared import Line


@dataclass(frozen=True, eq=False)
class Item:
    """A picture with its bucket.

    Args:
        folder: of prepared people.
        line: what its metadata say.
        place: where they say it, for messages.
        bucket: the size that it is brought to.
    """

    folder: Path
    line: Line
    place: str
    bucket: Size

    @property
    def size(self) -> Size:
        """Of the picture."""
        return self.line.width, self.line.height

    @property
    def boxes(self) -> list[Box]:
        """Of all regions, whichever a training counts, so that all trainings see the same crops."""
        return [box for some in self.line.boxes.values() for box in some]

    def file(self, name: str) -> Path:
        """One of the files that the line names."""
        return self.folder / name

    def described(self) -> list[Any]:
        """Plain values that change where the picture, its masks or its place in the bucket do."""
        masks = sorted(self.line.masks.items())
        names = [self.line.file_name, *(name for _, name in masks)]
        return [[file_state(self.folder, name) for name in names], masks, self.size, self.bucket, self.boxes]


def file_state(folder: Path, name: str) -> list[Any]:
    """What tells a file from a changed one: its name, size and time; without them where it is not there."""
    try:
        state = (folder / name).stat()
    except OSError:
        return [name]
    return [name, state.st_size, state.st_mtime_ns]
