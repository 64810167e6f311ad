"""Pairs of prepared hands: a real one and a generated one of the same caption, finished or estimated alike."""

import hashlib
from collections import defaultdict

import torch
from torch import Tensor

from ...data.prepared import PreparedHands
from ...hands.crops import square_crops
from ...hands.hand import Box
from ..config import CriticConfig
from .pairs import UNKNOWN, Pairs

PARTS = 10_000


class PreparedPairs(Pairs):
    """Pairs of one or more folders of prepared hands; each real hand with a counterpart makes one.

    A real hand and a generated one go together if they share their pair's name, and if both are finished
    pictures or both estimates, so that blur does not tell them apart.

    Args:
        folders: prepared hands.
        config: of the critic, for the crops' size and margin.
        held_out: which pairs: those held out or the others; all crops of a pair's name are on one side.
        share: of the names that are held out, 0..1.

    Raises:
        ValueError: no pair is left.
    """

    def __init__(self, folders: list[PreparedHands], config: CriticConfig, held_out: bool, share: float) -> None:
        self.folders = folders
        self.config = config
        self._places = [(number, row) for number, hands in enumerate(folders) for row in range(len(hands))]
        groups: dict[tuple[int, str, bool], dict[str, list[int]]] = defaultdict(lambda: {"real": [], "fake": []})
        for place, (number, row) in enumerate(self._places):
            hands = folders[number]
            if is_held_out(hands.pair[row], share) == held_out:
                groups[number, hands.pair[row], hands.level[row] > 0][hands.kind[row]].append(place)
        self._pairs = [(real, group["fake"]) for group in groups.values() if group["fake"] for real in group["real"]]
        if not self._pairs:
            names = ", ".join(str(hands.folder) for hands in folders)
            side = "to be held out" if held_out else "to train on"
            raise ValueError(f"{names} hold no pair of a real and a generated hand {side}: prepare more pictures.")
        texts = [self._text(real) for real, _ in self._pairs]
        self.texts = tuple(sorted(set(texts) - {""}))
        where = {text: place for place, text in enumerate(self.texts)}
        self._text_places = [where.get(text, UNKNOWN) for text in texts]

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def crops(self) -> int:
        return len(self._places)

    def crop(self, row: int) -> Tensor:
        picture, box = self.wide_crop(row)
        crops = square_crops(picture.float(), [box], self.config.input_size, self.config.margin)
        return crops[0].round().clamp(0, 255).to(torch.uint8)

    def wide_crop(self, row: int) -> tuple[Tensor, Box]:
        """A crop as it is stored, uint8 [3, side, side], with the hand's box in it."""
        number, place = self._places[row]
        return self.folders[number][place]

    def rows(self, pair: int, pick: int) -> tuple[int, int]:
        real, fakes = self._pairs[pair]
        return real, fakes[pick % len(fakes)]

    def is_estimate(self, pair: int) -> bool:
        number, place = self._places[self._pairs[pair][0]]
        return self.folders[number].level[place] > 0

    def text(self, pair: int) -> int:
        return self._text_places[pair]

    def _text(self, row: int) -> str:
        number, place = self._places[row]
        return self.folders[number].text[place]


def is_held_out(pair: str, share: float) -> bool:
    """Whether a pair is held out: by a hash of its name, so that it is the same each time and more data move none."""
    return int.from_bytes(hashlib.sha256(pair.encode()).digest()[:4], "big") % PARTS < share * PARTS
