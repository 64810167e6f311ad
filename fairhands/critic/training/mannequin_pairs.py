"""Pairs of mannequin hands for a critic: the same scene with a right hand and with a malformed one.

What differs within a pair is the hand's form and nothing else, so that a critic learns it in a minute.
"""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...data.mannequin import KINDS, RIGHT, draw
from ...hands.crops import square_crops

MALFORMED = tuple(kind for kind in KINDS if kind != RIGHT)


class MannequinPairs(Dataset[tuple[Tensor, int]]):
    """Pairs by number; the malformed kinds take turns.

    An item is the pictures of a pair, uint8 [2, 3, input_size, input_size], the right hand first, and the
    place of the other's kind in `MALFORMED`.

    Args:
        first_seed: the seed of the first pair's scene; the others follow.
        count: how many pairs there are.
        drawn_size: side of the drawn pictures in pixels, 64 or more.
        input_size: side of the crops in pixels.
        margin: context around the hand's box, relative to its longer side, as in guidance.
    """

    def __init__(self, first_seed: int, count: int, drawn_size: int, input_size: int, margin: float) -> None:
        self.first_seed = first_seed
        self.count = count
        self.drawn_size = drawn_size
        self.input_size = input_size
        self.margin = margin

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        malformed = number % len(MALFORMED)
        seed = self.first_seed + number
        return torch.cat([self._hand(seed, RIGHT), self._hand(seed, MALFORMED[malformed])]), malformed

    def _hand(self, seed: int, kind: str) -> Tensor:
        scene = draw(seed, self.drawn_size, kind=kind)
        picture = torch.from_numpy(scene.picture).permute(2, 0, 1).float()
        crops = square_crops(picture, scene.boxes, self.input_size, self.margin)
        return crops.round().clamp(0, 255).to(torch.uint8)
