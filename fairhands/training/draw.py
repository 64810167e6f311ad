"""The random numbers of a training step, which are the same however many processes and passes share the step."""

from dataclasses import dataclass

import torch
from torch import Tensor

SEEDS = 2**32  # PyTorch's generator on the CPU reads no more of a seed
APART = 2654435761  # between two seeds of a training: odd, and near SEEDS times the golden ratio, which spreads them


@dataclass(frozen=True)
class Draw:
    """What one pass of a step draws: its own rows of numbers drawn for all examples of the step.

    The numbers come from the seed and the step alone, so a resumed training draws what an uninterrupted one would,
    and two processes draw together what one with twice the batch draws.

    Args:
        generator: seeded for the step, on the CPU.
        batch: examples of this pass.
        part, parts: which of how many passes of the step this is, over all processes.
    """

    generator: torch.Generator
    batch: int
    part: int = 0
    parts: int = 1

    def integers(self, below: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to below `below`, int64 [batch, *shape]."""
        return self._own(torch.randint(below, (self.batch * self.parts, *shape), generator=self.generator))

    def uniform(self, *shape: int) -> Tensor:
        """Numbers between 0 and 1, float [batch, *shape]."""
        return self._own(torch.rand(self.batch * self.parts, *shape, generator=self.generator))

    def normal(self, *shape: int) -> Tensor:
        """Normally distributed numbers, float [batch, *shape]."""
        return self._own(torch.randn(self.batch * self.parts, *shape, generator=self.generator))

    def _own(self, numbers: Tensor) -> Tensor:
        return numbers[self.part * self.batch : (self.part + 1) * self.batch]


def draw_of(seed: int, step: int, batch: int, part: int = 0, parts: int = 1) -> Draw:
    """The draw of one pass of a step; arguments as for `Draw`."""
    return Draw(torch.Generator().manual_seed((seed * APART + step) % SEEDS), batch, part, parts)
