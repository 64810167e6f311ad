"""Follow the hands while sampling: look at each clean estimate, and let the mask accumulate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..hands.detector import HandDetector
from ..hands.hand import Hand, share_covered
from ..hands.regions import regions
from .cumulative_mask import CumulativeMask
from .decoders import Decoder
from .trace import ImageRecord, describe_hands
from .windows import Region

START_MASK, ATTENTION, CLOSER_LOOK = "start mask", "attention", "closer look"
FALLBACKS = (START_MASK, ATTENTION, CLOSER_LOOK)
LOWER, TILES = 0.5, 2

# An image's number and its picture [H, W, 3] -> a mask [H, W] of where hands must be, or None.
Fallback = Callable[[int, Tensor], Tensor | None]


@dataclass
class HandFollower:
    """Finds hands in clean estimates and joins them to the cumulative mask M.

    `every`: only each n-th call looks; the others keep what was seen. `fallbacks`: by name, asked in their order for
    an image in which no hand is found while its mask is empty.
    Raises ValueError for `every` below 1.
    """

    decoder: Decoder
    detector: HandDetector
    mask: CumulativeMask
    every: int = 1
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    _calls: int = 0
    _hands: list[list[Hand]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}, expected 1 or more.")

    def __call__(self, estimates: Tensor) -> list[ImageRecord]:
        """A record for each image of the latents `[B, C, h, w]`, after the mask was joined with the hands in it."""
        looks = self._calls % self.every == 0
        self._calls += 1
        if looks:
            self._hands = [[] for _ in estimates]
        return [self._follow(image, estimates[image : image + 1], looks) for image in range(len(estimates))]

    def unchanged(self) -> list[ImageRecord]:
        """A record for each image at a step that is not guided: nothing is looked for."""
        return [ImageRecord(mask_area=self.mask.area(image)) for image in range(len(self.mask.picture))]

    def regions(self, image: int, by_score: bool) -> list[Region]:
        """Where the critic looks in an image: the hands found last that the mask has, and its parts without one."""
        return critic_regions(self._hands[image], self.mask.picture[image], by_score)

    def _follow(self, image: int, estimate: Tensor, looks: bool) -> ImageRecord:
        record = ImageRecord()
        if looks:
            with torch.no_grad():
                picture = self.decoder(estimate)[0].permute(1, 2, 0)
            hands = self.detector.detect_batch(picture[None])[0]
            masked = self._hands[image] = self.mask.add(image, hands)
            record.hands = describe_hands(hands)
            record.left_out = len(hands) - len(masked)
            if not hands and not self.mask.picture[image].any():
                record.fallback = self._fall_back(image, picture)
        record.mask_area = self.mask.area(image)
        return record

    def _fall_back(self, image: int, picture: Tensor) -> str:
        """The name of the first fallback that knows a place for the mask."""
        for name, fallback in self.fallbacks.items():
            mask = fallback(image, picture)
            if mask is not None and mask.any():
                self.mask.add_mask(image, mask)
                return name
        return ""


def parse_fallbacks(text: str) -> list[str]:
    """The names in a list with commas, in its order.

    Raises:
        ValueError: an unknown name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FALLBACKS:
            raise ValueError(f"fallbacks: expected some of {', '.join(FALLBACKS)} with commas, found {name!r}.")
    return list(dict.fromkeys(names))


def closer_look(detector: HandDetector, mask: CumulativeMask) -> Fallback:
    """Look again, less strictly and in enlarged tiles; the mask is then drawn as usual, up to its largest size."""
    closer = replace(detector, threshold=detector.threshold * LOWER, tiles=max(TILES, detector.tiles))

    def look(image: int, picture: Tensor) -> Tensor | None:
        hands = closer.detect_batch(picture[None])[0]
        return mask.draw(hands) if hands else None

    return look


def critic_regions(hands: Sequence[Hand], mask: Tensor, by_score: bool = False) -> list[Region]:
    """The hands, weighing their scores or alike, and each part of the mask `[H, W]` in which none of them is."""
    seen = [Region(hand.box, max(hand.score, 1e-3) if by_score else 1.0) for hand in hands]
    alone = [part for part in regions(mask) if all(share_covered(region.box, part) < 0.5 for region in seen)]
    return seen + [Region(part) for part in alone]
