"""Examples drawn from kept pictures: all of a batch from one bucket, the same for the same draw."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..hands.hand import area, clip_box
from ..training.draw import Draw
from .ahead import made_ahead
from .arrays import Arrays
from .batch import Batch
from .buckets import Size
from .latents import Kept
from .masks import box_mask, with_errors
from .placement import Placement
from .reading import read_sized
from .settings import DataSettings
from .texts import NOTHING, Captions

SEEDS = 2**62


@dataclass(frozen=True)
class Shown:
    """How a picture is shown once.

    Args:
        picture: which.
        flip: whether mirrored.
        caption: what is said of it.
        errors: seed of the errors in its boxes; None for none.
    """

    picture: Kept
    flip: bool
    caption: str
    errors: int | None

    @property
    def placement(self) -> Placement:
        """Of the picture in its bucket."""
        upright = self.picture.placement
        return upright.mirrored() if self.flip else upright


class Examples:
    """Pictures to train on or to measure with.

    `counts` says how many of the pictures show each region.

    Args:
        pictures: usable ones.
        regions: whose masks are given.
        cells: pixels on the side of a latent cell.
        settings: how they are shown.
        captions: the encoded ones; None where text encoders are trained.
        conditioning: the kind of picture for a ControlNet that is given with each; None: none.
    """

    def __init__(
        self,
        pictures: Sequence[Kept],
        regions: Sequence[str],
        cells: int,
        settings: DataSettings,
        captions: Captions | None,
        conditioning: str | None,
    ) -> None:
        self.regions = tuple(regions)
        self.settings = settings
        self.cells = cells
        self._pictures = pictures
        self._captions = captions
        self._conditioning = conditioning
        self._arrays = Arrays()
        self._buckets: dict[Size, list[Kept]] = defaultdict(list)
        for picture in pictures:
            self._buckets[picture.placement.bucket].append(picture)
        shown = Counter(region for picture in pictures for region in self.regions if shows(picture, region))
        self.counts: dict[str, int] = {region: shown[region] for region in self.regions}

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def buckets(self) -> dict[Size, int]:
        """How many pictures each bucket has, by width and height."""
        return {size: len(pictures) for size, pictures in sorted(self._buckets.items())}

    def batch(self, draw: Draw) -> Batch:
        """The examples of a pass, on the processor. They depend on the draw alone and take no numbers from it.

        All passes of a step are of one bucket, which is drawn by its share of the pictures.

        Raises:
            ValueError: a picture for the ControlNet is no longer as it was checked.
        """
        own = _apart(draw)
        pictures = self._buckets[self._bucket(own)]
        places = own.integers(len(pictures)).tolist()
        flips = own.integers(2).tolist()
        dropped = (own.uniform() < self.settings.caption_dropout).tolist()
        errors = own.integers(SEEDS).tolist()
        return self._batch(
            [
                Shown(
                    pictures[place],
                    self.settings.flip and bool(flip),
                    NOTHING if drop else pictures[place].item.line.text,
                    seed if self.settings.box_noise else None,
                )
                for place, flip, drop, seed in zip(places, flips, dropped, errors, strict=True)
            ]
        )

    def batches(self, draws: Iterable[Draw]) -> Iterator[Batch]:
        """The examples of passes in their order, as `batch` gives them, loaded ahead."""
        return made_ahead(self.batch, draws, self.settings.workers)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Each picture once, at most `size` at a time: upright, with its caption and its boxes as they are."""
        groups = (
            [Shown(picture, False, picture.item.line.text, None) for picture in pictures[start : start + size]]
            for _, pictures in sorted(self._buckets.items())
            for start in range(0, len(pictures), size)
        )
        return made_ahead(self._batch, groups, self.settings.workers)

    def _bucket(self, draw: Draw) -> Size:
        """One for all passes of a step: the generator has given none of them a number of its own yet."""
        number = int(torch.randint(len(self._pictures), (), generator=draw.generator))
        return self._pictures[number].placement.bucket

    def _batch(self, shown: Sequence[Shown]) -> Batch:
        captions = tuple(one.caption for one in shown)
        sizes = torch.tensor([one.placement.sizes for one in shown], dtype=torch.float32)
        conditioning = None if self._conditioning is None else [self._shown_beside(one) for one in shown]
        return Batch(
            latents=torch.stack([self._arrays.row(*one.picture.latents, int(one.flip)) for one in shown]),
            captions=captions,
            sizes=sizes,
            masks={region: torch.stack([self._mask(one, region) for one in shown]) for region in self.regions},
            text=None if self._captions is None else self._captions.of(captions, sizes),
            conditioning=None if conditioning is None else torch.stack(conditioning),
        )

    def _mask(self, shown: Shown, region: str) -> Tensor:
        """A region's mask, [1, h, w]: as it was kept, or that of its boxes."""
        if region in shown.picture.masks:
            return self._arrays.row(*shown.picture.masks[region], int(shown.flip))[None]
        boxes = shown.picture.item.line.boxes.get(region, ())
        if shown.errors is not None:
            generator = torch.Generator().manual_seed(_number(shown.errors, region))
            boxes = with_errors(boxes, self.settings.box_noise, generator)
        return torch.from_numpy(box_mask(boxes, shown.placement, self.cells))[None]

    def _shown_beside(self, shown: Shown) -> Tensor:
        """What a ControlNet is shown, [3, H, W] in 0..1."""
        item = shown.picture.item
        pixels = read_sized(item.file(item.line.conditioning[str(self._conditioning)]), item.size)
        return torch.from_numpy(shown.placement.placed(pixels)).permute(2, 0, 1) / 255


def shows(picture: Kept, region: str) -> bool:
    """Whether something of a region is left in a picture's crop."""
    if region in picture.masks:
        return True
    placement = picture.placement
    for x, y, width, height in picture.item.line.boxes.get(region, ()):
        left, right = placement.across(torch.tensor([x, x + width]).numpy())
        top, bottom = placement.down(torch.tensor([y, y + height]).numpy())
        if area(clip_box((left, top, right - left, bottom - top), *placement.bucket)) > 0:
            return True
    return False


def _apart(draw: Draw) -> Draw:
    """A draw of its own for the choice of examples, so that the noise drawn beside it repeats none of its numbers."""
    seed = _number(draw.generator.initial_seed(), "examples")
    return Draw(torch.Generator().manual_seed(seed), draw.batch, draw.part, draw.parts)


def _number(seed: int, name: str) -> int:
    """A seed that follows from another and a name."""
    return int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:7], "big")
