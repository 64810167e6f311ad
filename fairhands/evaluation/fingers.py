"""The independent judge: how many fingers the hand on a mannequin picture has, and whether it is right.

It shares nothing with the critic that guides: a residual network normalised by groups that sees the whole picture,
trained with other seeds, so that guidance which merely pleases its critic is found out.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.mannequin import RIGHT, STUDIO_KINDS
from ..data.pose import FINGER_COUNTS
from ..weight_files import WeightFileError, read_weights, write_weights

NO_HAND = "no_hand"
VERDICTS: tuple[str, ...] = (*STUDIO_KINDS, NO_HAND)
"""What the judge can say of a picture: the hand's kind, or that there is none."""

INPUT_SIZE = 128
KIND = "fairhands finger judge"
TRAINER = "python -m trainers.finger_judge"
_WIDTHS = (24, 48, 96, 128)
_GROUPS = 8


class FingerJudge(nn.Module):
    """Names the kind of hand on a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _WIDTHS[0], 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(_Residual(before, after) for before, after in pairwise((_WIDTHS[0], *_WIDTHS))))
        self.head = nn.Linear(_WIDTHS[-1] * 16, len(VERDICTS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures, float [N, 3, 128, 128] in 0..1 -> logits of `VERDICTS`, [N, 6].

        Raises:
            ValueError: pictures of another size.
        """
        return self.head(functional.adaptive_avg_pool2d(self._maps(pictures), 4).flatten(1))

    def _maps(self, pictures: Tensor) -> Tensor:
        if pictures.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(f"pictures: expected [N, 3, {INPUT_SIZE}, {INPUT_SIZE}], found {list(pictures.shape)}")
        return self.blocks(functional.silu(self.stem(pictures * 2 - 1)))

    @torch.no_grad()
    def verdicts(self, pictures: Tensor) -> Tensor:
        """The likeliest verdict on each picture, its place in `VERDICTS`, int64 [N]."""
        return torch.cat([self(part).argmax(dim=1) for part in _parts(pictures)])

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """What FID and KID compare: the last maps averaged over places, float [N, 128]."""
        return torch.cat([self._maps(part).mean(dim=(2, 3)) for part in _parts(pictures)])


def _parts(pictures: Tensor) -> tuple[Tensor, ...]:
    return pictures.contiguous(memory_format=torch.channels_last).split(32)


class _Residual(nn.Module):
    """Two convolutions beside a shortcut, then half the size."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(_GROUPS, after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(_GROUPS, after)
        self.shortcut = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.silu(self.first_norm(self.first(features)))
        inner = self.second_norm(self.second(inner))
        return functional.max_pool2d(functional.silu(inner + self.shortcut(features)), 2)


def is_right(verdicts: Tensor) -> Tensor:
    """Which verdicts, places in `VERDICTS`, mean a right hand: bool [N]. No hand is not right."""
    return verdicts == VERDICTS.index(RIGHT)


def finger_count(verdict: int) -> int:
    """The digits that a verdict, a place in `VERDICTS`, stands for; 0 without a hand."""
    return FINGER_COUNTS.get(VERDICTS[verdict], 0)


def write(judge: FingerJudge, path: Path, made_by: dict[str, Any]) -> None:
    """Write the judge in half precision, with its verdicts and what made it as metadata."""
    write_weights(path, KIND, judge.state_dict(), {**made_by, "verdicts": list(VERDICTS)})


def read(path: Path) -> FingerJudge:
    """The judge in single precision, in evaluation mode.

    Raises:
        WeightFileError: the file is missing, damaged, holds something else, or a judge with other verdicts.
    """
    weights, made_by = read_weights(path, KIND, TRAINER)
    if tuple(made_by.get("verdicts", ())) != VERDICTS:
        found = made_by.get("verdicts")
        raise WeightFileError(f"{path} is a judge of {found}, not of {VERDICTS}: train it with `{TRAINER}`.")
    judge = FingerJudge()
    judge.load_state_dict(weights)
    return judge.eval()
