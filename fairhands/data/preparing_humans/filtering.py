"""The filters: first the boxes of each picture, then the pictures with what is left of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..preparing.filters import Dropped, Filtered, filtered, without_duplicates
from .records import FACE, HAND, REGIONS, Part, Seen
from .settings import FilterSettings


@dataclass(frozen=True)
class Chosen:
    """What the filters made of all pictures: those of boxes by region, and those of pictures."""

    parts: dict[str, Filtered[Part]]
    pictures: Filtered[Seen]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many boxes and pictures were kept, and how many each filter dropped."""
        parts = {f"{region}s": self.parts[region].counts() for region in REGIONS}
        return {**parts, "kept pictures": self.pictures.counts()}

    def dropped(self) -> list[Dropped[Part] | Dropped[Seen]]:
        """All that was dropped."""
        parts = [entry for region in REGIONS for entry in self.parts[region].dropped]
        return [*parts, *self.pictures.dropped]


def choose(people: Sequence[Seen], settings: FilterSettings) -> Chosen:
    """Apply all filters.

    A mask counts as long as one of its parts is kept: nothing is erased from it.
    """
    tables = {FACE: settings.faces, HAND: settings.hands}
    by_region = {
        region: [part for seen in people for part in seen.parts if part.region == region] for region in REGIONS
    }
    parts = {region: filtered(by_region[region], tables[region].filters()) for region in REGIONS}
    kept = {id(part) for region in REGIONS for part in parts[region].kept}
    pictures = filtered([_only(seen, kept) for seen in people], settings.filters())
    return Chosen(parts, without_duplicates(pictures, lambda seen: seen.hash, settings.duplicates))


def _only(seen: Seen, kept: set[int]) -> Seen:
    """The picture with the kept ones of its parts, and the masks of regions that it still has."""
    left = replace(seen, parts=tuple(part for part in seen.parts if id(part) in kept))
    return replace(left, masks={region: mask for region, mask in seen.masks.items() if region in left.regions})
