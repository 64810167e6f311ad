"""A fair training put together, whatever is trained: examples, noise and times, losses, what is held out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..base_models import BaseModel, Text
from ..base_models.process import TIMESTEPS, Diffusion, Process
from ..people.batch import Batch
from ..people.people import People
from ..training.draw import Draw
from ..training.loop import Losses
from .objectives import Objectives

Predict = Callable[[Tensor, Tensor, Text, Batch], Tensor]
"""The prediction of what is trained, [N, C, h, w]: of noised latents, their times, texts, and the batch they are of."""

# Noise levels of flow matching, as the mannequin model was trained: their logits are normally distributed.
FLOW_MEAN, FLOW_DEVIATION = 0.3, 1.0
HELD_OUT_TIMES = 4  # at which each held-out picture is noised


class FairTraining:
    """Gives the losses of each pass of `Loop`, and those of the pictures that are held out.

    Args:
        base: the base model, adapted or not.
        people: the pictures.
        predict: the prediction of what is trained.
        objectives: what is lowered.
        batch: examples of a pass, for measuring.

    Raises:
        ValueError: no picture to learn from shows any region.
    """

    def __init__(self, base: BaseModel, people: People, predict: Predict, objectives: Objectives, batch: int) -> None:
        self.base = base
        self.people = people
        self.predict = predict
        self.objectives = objectives
        self.batch = batch
        self._ahead: Iterator[Batch] | None = None
        regions = objectives.settings.regions
        if regions and not any(people.training.counts.get(region) for region in regions):
            raise ValueError(f"None of {len(people.training)} pictures to learn from shows a {' or '.join(regions)}.")

    def load_ahead(self, draws: Iterable[Draw]) -> None:
        """Load the batches of these draws ahead, those of `Loop.passes`; `losses` is then asked for each in turn."""
        self._ahead = self.people.training.batches(draws)

    def losses(self, draw: Draw) -> Losses:
        """The objectives of a pass. Noise, times and dropout come from the draw, so that a resumed training goes on
        exactly."""
        batch = next(self._ahead) if self._ahead is not None else self.people.training.batch(draw)
        noise = draw.normal(*batch.latents.shape[1:]).to(self.base.device)
        times = drawn_times(self.base.process, draw).to(self.base.device)
        torch.manual_seed(int(draw.integers(2**31)[0]))
        batch = batch.to(self.base.device)
        return self.objectives.losses(self.base, batch, noise, times, self._prediction(batch, noise, times))

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """The objectives of the held-out pictures at noise and times that stay the same: `held_out/i`, each a mean
        over those pictures that show the region."""
        sums, counts = defaultdict[str, float](float), Counter[str]()
        number = 0
        for batch in self.people.held_out.in_order(self.batch):
            batch = batch.to(self.base.device)
            for time in spread_times(self.base.process, HELD_OUT_TIMES):
                generator = torch.Generator().manual_seed(number)
                noise = torch.randn(batch.latents.shape, generator=generator).to(self.base.device)
                times = torch.full((len(batch),), time, device=self.base.device)
                prediction = self._prediction(batch, noise, times)
                for name, each in self.objectives.each(self.base, batch, noise, times, prediction).items():
                    sums[name] += float(each.losses.sum())
                    counts[name] += int(each.present.sum())
                number += 1
        return {f"held_out/{name}": sums[name] / counts[name] for name in self.objectives.names if counts[name]}

    def _prediction(self, batch: Batch, noise: Tensor, times: Tensor) -> Tensor:
        return self.predict(self.base.noised(batch.latents, noise, times), times, self._text(batch), batch)

    def _text(self, batch: Batch) -> Text:
        """The captions as they were encoded once, or anew where the text encoders are trained."""
        if batch.text is not None:
            return batch.text
        text = self.base.encode_text(batch.captions)
        return text if text.sizes is None else replace(text, sizes=batch.sizes)


def drawn_times(process: Process, draw: Draw) -> Tensor:
    """Times to train at, [batch]: of SD any timestep alike, of flow matching as the mannequin model was trained."""
    if isinstance(process, Diffusion):
        return draw.integers(len(process.kept)) / TIMESTEPS
    return torch.sigmoid(FLOW_MEAN + FLOW_DEVIATION * draw.normal())


def spread_times(process: Process, count: int) -> list[float]:
    """Times that stand for all that are drawn: the middles of `count` equally likely parts."""
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    if isinstance(process, Diffusion):
        return ((middles * len(process.kept)).floor() / TIMESTEPS).tolist()
    return torch.sigmoid(FLOW_MEAN + FLOW_DEVIATION * torch.special.ndtri(middles)).tolist()
