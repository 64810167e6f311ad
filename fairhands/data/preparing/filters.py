"""Which crops are worth learning from; each filter is one figure of a crop and the threshold it is held against."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...hands.hand import area
from .duplicates import duplicates
from .records import Crop

DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Filter:
    """One figure of a crop and what it should be.

    Args:
        name: what a crop that is dropped by it is.
        figure: of a crop; None where it has none, which drops nothing.
        threshold: what it is held against; 0 leaves the filter out.
        is_least: whether the threshold is the least or the most that is kept.
    """

    name: str
    figure: Callable[[Crop], float | None]
    threshold: float
    is_least: bool

    def drops(self, crop: Crop) -> bool:
        figure = self.figure(crop)
        if self.threshold == 0 or figure is None:
            return False
        return figure < self.threshold if self.is_least else figure > self.threshold


@dataclass(frozen=True)
class Dropped:
    """A crop that is not learnt from, the filter that dropped it, and its figure there."""

    crop: Crop
    reason: str
    figure: float | None


@dataclass(frozen=True)
class Filtered:
    """Crops after the filters, each list in the order of before."""

    kept: list[Crop]
    dropped: list[Dropped]

    def counts(self) -> dict[str, int]:
        """How many were kept, and how many each filter dropped."""
        return {"kept": len(self.kept), **Counter(entry.reason for entry in self.dropped)}


def side(crop: Crop) -> float:
    """The shorter side of the hand's box in pixels."""
    return min(crop.box[2:])


def score(crop: Crop) -> float | None:
    """The detector's score; None where it did not see the hand."""
    return crop.score


def sharpness(crop: Crop) -> float:
    """The variance of the Laplacian at a standard size."""
    return crop.sharpness


def cut(crop: Crop) -> float:
    """The share of the box's perimeter that lies on the picture's border, within a pixel; 0..1."""
    x, y, width, height = crop.box
    across = (y < 1) + (y + height > crop.height - 1)
    along = (x < 1) + (x + width > crop.width - 1)
    return (across * width + along * height) / (2 * (width + height))


def share(crop: Crop) -> float:
    """The share of the picture's area that the hand's box takes, 0..1."""
    return area(crop.box) / (crop.width * crop.height)


def filtered(crops: Sequence[Crop], filters: Sequence[Filter], distance: int = 0) -> Filtered:
    """Crops parted by filters, each dropped by the first one that does, and then into the first ones of their look.

    Args:
        crops: in their order.
        filters: in theirs.
        distance: in how many of 64 bits duplicates' hashes may differ; 0 keeps duplicates.
    """
    kept, dropped = [], []
    for crop in crops:
        by = next((one for one in filters if one.drops(crop)), None)
        if by is None:
            kept.append(crop)
        else:
            dropped.append(Dropped(crop, by.name, by.figure(crop)))
    if distance > 0:
        again = duplicates([crop.hash for crop in kept], distance)
        dropped += [Dropped(crop, DUPLICATE, None) for crop, is_again in zip(kept, again, strict=True) if is_again]
        kept = [crop for crop, is_again in zip(kept, again, strict=True) if not is_again]
    return Filtered(kept, dropped)
