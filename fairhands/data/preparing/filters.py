"""Which crops, pictures and boxes are worth learning from; each filter is a figure and what it is held against."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ...hands.hand import Box, area
from .duplicates import duplicates

DUPLICATE = "duplicate"

Item = TypeVar("Item")
What = TypeVar("What", covariant=True)


class Boxed(Protocol):
    """What has a box in a picture, with the figures that filters go by; see `records.Crop`."""

    @property
    def box(self) -> Box: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def score(self) -> float | None: ...
    @property
    def sharpness(self) -> float: ...


@dataclass(frozen=True)
class Filter(Generic[Item]):
    """One figure and what it should be.

    Args:
        name: what an item that is dropped by it is.
        figure: of an item; None where it has none, which drops nothing.
        threshold: what it is held against; 0 leaves the filter out.
        is_least: whether the threshold is the least or the most that is kept.
    """

    name: str
    figure: Callable[[Item], float | None]
    threshold: float
    is_least: bool

    def drops(self, item: Item) -> bool:
        figure = self.figure(item)
        if self.threshold == 0 or figure is None:
            return False
        return figure < self.threshold if self.is_least else figure > self.threshold


@dataclass(frozen=True)
class Dropped(Generic[What]):
    """An item that is not learnt from, the filter that dropped it, and its figure there."""

    item: What
    reason: str
    figure: float | None


@dataclass(frozen=True)
class Filtered(Generic[Item]):
    """Items after the filters, each list in the order of before."""

    kept: list[Item]
    dropped: list[Dropped[Item]]

    def counts(self) -> dict[str, int]:
        """How many were kept, and how many each filter dropped."""
        return {"kept": len(self.kept), **Counter(entry.reason for entry in self.dropped)}


def side(boxed: Boxed) -> float:
    """The shorter side of the box in pixels."""
    return min(boxed.box[2:])


def score(boxed: Boxed) -> float | None:
    """The detector's score; None where it did not see what is in the box."""
    return boxed.score


def sharpness(boxed: Boxed) -> float:
    """The variance of the Laplacian at a standard size."""
    return boxed.sharpness


def cut(boxed: Boxed) -> float:
    """The share of the box's perimeter that lies on the picture's border, within a pixel; 0..1."""
    x, y, width, height = boxed.box
    across = (y < 1) + (y + height > boxed.height - 1)
    along = (x < 1) + (x + width > boxed.width - 1)
    return (across * width + along * height) / (2 * (width + height))


def share(boxed: Boxed) -> float:
    """The share of the picture's area that the box takes, 0..1."""
    return area(boxed.box) / (boxed.width * boxed.height)


def filtered(items: Sequence[Item], filters: Sequence[Filter[Item]]) -> Filtered[Item]:
    """Items parted by filters, in their order, each dropped by the first one that does."""
    kept, dropped = [], []
    for item in items:
        by = next((one for one in filters if one.drops(item)), None)
        if by is None:
            kept.append(item)
        else:
            dropped.append(Dropped(item, by.name, by.figure(item)))
    return Filtered(kept, dropped)


def without_duplicates(result: Filtered[Item], look: Callable[[Item], int], distance: int) -> Filtered[Item]:
    """What was kept, without those that look like an earlier one.

    Args:
        result: of the filters, so that what they drop makes nothing a duplicate.
        look: the hash of an item, 64 bits.
        distance: in how many bits duplicates' hashes may differ; 0 keeps duplicates.
    """
    if distance == 0:
        return result
    again = duplicates([look(item) for item in result.kept], distance)
    dropped = [Dropped(item, DUPLICATE, None) for item, is_again in zip(result.kept, again, strict=True) if is_again]
    kept = [item for item, is_again in zip(result.kept, again, strict=True) if not is_again]
    return Filtered(kept, result.dropped + dropped)
