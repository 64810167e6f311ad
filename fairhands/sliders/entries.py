"""Which prompts an example of a training step is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..training.draw import Draw
from .prompts import SliderPrompts

Attributes = Literal["sampled", "averaged"]


@dataclass(frozen=True)
class Entry:
    """The prompts of one pair with one of its attributes before them.

    Args:
        target, neutral: what is changed, and what the change is added to.
        positives, negatives: what it leads toward, and away from.
        eta: strength of the change.
        weight: of its loss.
        resolution: side of its pictures in pixels.
    """

    target: str
    neutral: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    eta: float
    weight: float
    resolution: int

    @property
    def prompts(self) -> tuple[str, ...]:
        """All that have to be encoded."""
        return (self.target, self.neutral, *self.positives, *self.negatives)


@dataclass(frozen=True)
class Example:
    """What a row of a pass is about.

    Args:
        entry: its prompts.
        positive, negative: those of the entry's that count this time.
        share: of the pass's loss.
        at: its place among what is drawn for the pass; averaged attributes of a pair have one place.
    """

    entry: Entry
    positive: str
    negative: str
    share: float
    at: int


class Entries:
    """All entries of a slider: balanced pairs, their attributes sampled or averaged.

    Args:
        pairs: the prompts. Their weights count relative to each other.
        resolution: of pairs that name none, in pixels.
        attributes: "sampled": an example is about one attribute; "averaged": about all those of its pair at once.
    """

    def __init__(self, pairs: Sequence[SliderPrompts], resolution: int, attributes: Attributes = "sampled") -> None:
        mean = sum(pair.weight for pair in pairs) / len(pairs)
        self.attributes = attributes
        self.pairs = [list(_entries(pair, resolution, pair.weight / mean)) for pair in pairs]

    def all(self) -> list[Entry]:
        """Each of them once."""
        return [entry for pair in self.pairs for entry in pair]

    def examples(self, draw: Draw) -> list[Example]:
        """What a pass is about: pairs in turn over all passes of the step, all of one resolution."""
        begun_with = int(torch.randint(len(self.pairs), (), generator=draw.generator))
        pairs = self._alike(begun_with)
        return [
            example
            for at, picks in enumerate(draw.uniform(3))
            for example in self._of(pairs[(draw.part * draw.batch + at) % len(pairs)], picks, at, 1 / draw.batch)
        ]

    def _alike(self, first: int) -> list[list[Entry]]:
        """One of the pairs and those of its resolution, from that on."""
        turned = self.pairs[first:] + self.pairs[:first]
        return [pair for pair in turned if pair[0].resolution == turned[0][0].resolution]

    def _of(self, pair: Sequence[Entry], picks: Tensor, at: int, share: float) -> Iterable[Example]:
        chosen = pair if self.attributes == "averaged" else [pair[_place(picks[0], len(pair))]]
        for entry in chosen:
            positive = entry.positives[_place(picks[1], len(entry.positives))]
            negative = entry.negatives[_place(picks[2], len(entry.negatives))]
            yield Example(entry, positive, negative, share * entry.weight / len(chosen), at)


def _entries(pair: SliderPrompts, resolution: int, weight: float) -> Iterable[Entry]:
    for attribute in pair.attributes or ("",):
        yield Entry(
            _with(attribute, pair.target),
            _with(attribute, pair.neutral),
            tuple(_with(attribute, prompt) for prompt in pair.positives),
            tuple(_with(attribute, prompt) for prompt in pair.negatives),
            pair.eta,
            weight,
            pair.resolution or resolution,
        )


def _with(attribute: str, prompt: str) -> str:
    return f"{attribute} {prompt}" if attribute else prompt


def _place(pick: Tensor, count: int) -> int:
    return min(int(pick * count), count - 1)
