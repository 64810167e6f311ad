"""The noised latents that a slider is learnt at: where sampling passes by, or the user's own pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from ..base_models import BaseModel, Text
from ..training.draw import Draw
from .entries import Entry, Example
from .loss import Start
from .texts import NOTHING, Texts

if TYPE_CHECKING:
    from ..adapters.lora import LoraAdapter

Away = Literal["nothing", "negative"]


@dataclass(frozen=True)
class Sampling:
    """Sampling with the LoRA on, as it is so far.

    Args:
        base, adapter: what is sampled with.
        texts: encoded prompts.
        steps: of a whole sampling, DDIM with eta 0 or Euler.
        guidance: scale of classifier-free guidance; 1 is none.
        away: what guidance leads away from: nothing, or the first negative prompt.
    """

    base: BaseModel
    adapter: LoraAdapter
    texts: Texts
    steps: int = 50
    guidance: float = 3.0
    away: Away = "nothing"

    def shape(self, resolution: int) -> tuple[int, int, int]:
        """Of the latents of a picture: channels, height, width."""
        cells = resolution // self.base.cells
        return self.base.latent_channels, cells, cells

    def at(self, stages: Tensor) -> Tensor:
        """The times of stages, int64 [N] from 0 (noise) to below `steps` -> float [N]."""
        return torch.tensor(self.base.process.times(self.steps), device=stages.device)[stages]

    @torch.no_grad()
    def step(self, latents: Tensor, stages: Tensor, entries: Sequence[Entry]) -> Tensor:
        """Latents [N, C, h, w] of the entries' targets at stages [N] below steps - 1, one stage further."""
        times, after = self.at(stages), self.at(stages + 1)
        with _evaluating(self.adapter):
            predicted = self._predict(latents, times, entries)
        return self.base.process.step(latents, times, predicted, after)

    def _predict(self, latents: Tensor, times: Tensor, entries: Sequence[Entry]) -> Tensor:
        side = entries[0].resolution
        target = self.texts.of([entry.target for entry in entries], side)
        if self.guidance == 1:
            return self.base.predict(latents, times, target)
        negative = self.texts.of([self._led_away_from(entry) for entry in entries], side)
        both = Text.joined([target, negative])
        toward, away = self.base.predict(torch.cat([latents, latents]), torch.cat([times, times]), both).chunk(2)
        return away + self.guidance * (toward - away)

    def _led_away_from(self, entry: Entry) -> str:
        return entry.negatives[0] if self.away == "negative" else NOTHING


class Starts(nn.Module, ABC):
    """Gives noised latents to learn at; a module, so that what it keeps is part of checkpoints."""

    @abstractmethod
    def start(self, examples: Sequence[Example], draw: Draw) -> Start:
        """Noised latents for the examples of a pass, all of one resolution."""


class Denoised(Starts):
    """Noise that is denoised anew for each pass, for a random number of steps from 1 to all but one."""

    def __init__(self, sampling: Sampling) -> None:
        super().__init__()
        self.sampling = sampling

    def start(self, examples: Sequence[Example], draw: Draw) -> Start:
        sampling = self.sampling
        entries = [example.entry for example in examples]
        noise = draw.normal(*sampling.shape(entries[0].resolution))
        latents = rows(noise, examples).to(sampling.base.device)
        stages = torch.zeros(len(latents), dtype=torch.int64, device=latents.device)
        for _ in range(1 + int(draw.integers(sampling.steps - 1)[0])):
            latents = sampling.step(latents, stages, entries)
            stages = stages + 1
        return Start(latents, sampling.at(stages))


class Noised(Starts):
    """Noised latents of given pictures, at the same times as those of `Denoised`.

    Args:
        base: the base model.
        steps: the sampling whose times are taken.
        latents_of: gives the latents of all pictures for a resolution, [M, C, h, w] on the processor.
    """

    def __init__(self, base: BaseModel, steps: int, latents_of: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.base = base
        self.times = torch.tensor(base.process.times(steps))
        self.latents_of = latents_of

    def start(self, examples: Sequence[Example], draw: Draw) -> Start:
        latents = self.latents_of(examples[0].entry.resolution)
        chosen = latents[draw.integers(len(latents))]
        times = self.times[1 + draw.integers(len(self.times) - 1)]
        noise = draw.normal(*latents.shape[1:])
        clean, times, noise = (rows(drawn, examples).to(self.base.device) for drawn in (chosen, times, noise))
        return Start(self.base.noised(clean, noise, times), times)


def rows(drawn: Tensor, examples: Sequence[Example]) -> Tensor:
    """What was drawn for a pass, for each example; attributes that are averaged share it."""
    return drawn[[example.at for example in examples]]


@contextmanager
def _evaluating(adapter: nn.Module) -> Iterator[None]:
    """The adapter without dropout."""
    training = adapter.training
    try:
        adapter.eval()
        yield
    finally:
        adapter.train(training)
