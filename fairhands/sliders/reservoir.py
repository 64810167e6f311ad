"""Partly denoised latents that are kept, and go on by a step now and then: a cheap stand-in for `Denoised`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..training import processes
from ..training.draw import Draw
from .entries import Entry, Example
from .loss import Start
from .starts import Sampling, Starts, rows

FILLED_AT_ONCE = 8


class _Places(NamedTuple):
    """Where some of the latents are, int64 [N] each: the number of their entry, and which of its latents."""

    entries: Tensor
    slots: Tensor


class Reservoir(Starts):
    """Latents of each entry's target at all stages of sampling, learnt at and refreshed with the current LoRA.

    At first the base model denoises them. From then on those that a pass learns at go one stage further before it,
    in some of the passes; one at its last stage begins anew as noise. All processes keep the same latents.

    Args:
        sampling: what they are denoised with.
        entries: all entries of the slider, of one resolution.
        size: latents of each entry, as many as a step has examples or more.
        refresh: share of the passes before which latents go on.
        seed: of the noise that they begin as.
    """

    latents: Tensor
    stages: Tensor
    filled: Tensor

    def __init__(
        self, sampling: Sampling, entries: Sequence[Entry], size: int, refresh: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.sampling = sampling
        self.entries = list(entries)
        self.refresh = refresh
        self.seed = seed
        device = sampling.base.device
        shape = sampling.shape(entries[0].resolution)
        self.register_buffer("latents", torch.zeros(len(entries), size, *shape, device=device))
        self.register_buffer("stages", torch.zeros(len(entries), size, dtype=torch.int64, device=device))
        self.register_buffer("filled", torch.tensor(False, device=device))

    def start(self, examples: Sequence[Example], draw: Draw) -> Start:
        if not self.filled:
            self._fill()
        goes_on = float(torch.rand((), generator=draw.generator)) < self.refresh
        places = self._places(examples, draw)
        if goes_on:
            noise = rows(draw.normal(*self.latents.shape[2:]), examples).to(self.latents.device)
            self._write(places, *self._further(places, noise))
        return Start(self.latents[places], self.sampling.at(self.stages[places]))

    def _places(self, examples: Sequence[Example], draw: Draw) -> _Places:
        """Where the examples' latents are: no two passes of a step share any."""
        size = self.stages.shape[1]
        if size < draw.batch * draw.parts:
            raise ValueError(
                f"start.reservoir_size should be at least {draw.batch * draw.parts}, the examples of a step, "
                f"found {size}"
            )
        slots = torch.randperm(size, generator=draw.generator)[draw.part * draw.batch :]
        entries = torch.tensor([self.entries.index(example.entry) for example in examples])
        device = self.stages.device
        return _Places(entries.to(device), slots[[example.at for example in examples]].to(device))

    def _further(self, places: _Places, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The latents there one stage further, and their stages; those at their last one from the new noise."""
        ends = self.stages[places] >= self.sampling.steps - 1
        stages = torch.where(ends, 0, self.stages[places])
        latents = torch.where(ends[:, None, None, None], noise, self.latents[places])
        return self.sampling.step(latents, stages, [self.entries[number] for number in places.entries]), stages + 1

    def _write(self, places: _Places, latents: Tensor, stages: Tensor) -> None:
        """Keep latents of this pass, and those of the other processes' passes."""
        if processes.state().num_processes == 1:
            self.latents[places], self.stages[places] = latents, stages
            return
        changed = torch.zeros_like(self.stages, dtype=torch.float32)
        changed[places] = 1.0
        new_latents, new_stages = torch.zeros_like(self.latents), torch.zeros_like(self.stages)
        new_latents[places], new_stages[places] = latents, stages
        processes.total([changed, new_latents, new_stages])
        self.latents.copy_(torch.where(changed[:, :, None, None, None] > 0, new_latents, self.latents))
        self.stages.copy_(torch.where(changed > 0, new_stages, self.stages))

    def _fill(self) -> None:
        """Denoise noise to stages that are spread evenly over the sampling, from the first after noise on."""
        count, size = self.stages.shape
        generator = torch.Generator().manual_seed(self.seed)
        self.latents.copy_(torch.randn(self.latents.shape, generator=generator))
        aims = 1 + torch.arange(size) * (self.sampling.steps - 1) // size
        slots = aims.argsort(stable=True)  # those of about one stage together
        every = _Places(torch.arange(count).repeat_interleave(size), slots.repeat(count))
        for some in torch.arange(count * size).split(FILLED_AT_ONCE):
            self._denoise(_Places(every.entries[some], every.slots[some]), aims[every.slots[some]])
        self.filled.fill_(True)

    def _denoise(self, places: _Places, aims: Tensor) -> None:
        """Denoise the latents there, each from noise to its stage."""
        for stage in range(int(aims.max())):
            going = _Places(places.entries[aims > stage], places.slots[aims > stage])
            latents = self.sampling.step(
                self.latents[going], self.stages[going], [self.entries[number] for number in going.entries]
            )
            self.latents[going], self.stages[going] = latents, self.stages[going] + 1
