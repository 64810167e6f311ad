"""The moving average of the weights that are trained, which is what is kept of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """What training changes of a network, by name: trainable parameters and buffers, not frozen ones."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


class MovingAverage:
    """Follows the floating-point part of `trained_state`; frozen weights are not copied.

    Args:
        network: what is averaged.
        decay: how much of the average stays at a step, 0 (none: it equals the weights) to below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.weights = {name: value.clone() for name, value in self._current().items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights after a step, faster in the beginning, when the average still holds the random start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = self._current()
        for name, average in self.weights.items():
            average.lerp_(current[name], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with the averaged weights, in evaluation mode, and as it was afterwards."""
        training = self.network.training
        own = {name: value.clone() for name, value in self._current().items()}
        try:
            self.keep()
            yield
        finally:
            self._write(own)
            self.network.train(training)

    def keep(self) -> None:
        """Put the averaged weights into the network for good, and the network into evaluation mode."""
        self._write(self.weights)
        self.network.eval()

    @torch.no_grad()
    def _write(self, weights: dict[str, Tensor]) -> None:
        current = self._current()
        for name, value in weights.items():
            current[name].copy_(value)

    def _current(self) -> dict[str, Tensor]:
        return {name: value for name, value in trained_state(self.network).items() if value.is_floating_point()}
