"""How the losses of a step become the gradient of what is trained."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from . import processes

Losses = Mapping[str, Tensor]
"""Scalars by name; `loss` is the one that is lowered, the others are logged beside it."""


class Backward(nn.Module):
    """Leaves the gradient of `loss` in the weights' `grad`: its mean over the passes and processes of a step.

    What a kind of it remembers from step to step lies in its buffers, which are kept in checkpoints.

    Args:
        weights: what is trained.
    """

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self._trained = list(weights)

    def add(self, losses: Losses, share: float) -> None:
        """Take one pass's losses, which count with `share`. The weights have no `grad` before the first of a step."""
        (losses["loss"] * share).backward()

    def finish(self) -> Losses:
        """After the last pass of a step: leave the gradient in `grad`; gives figures to log, always the same ones."""
        processes.average(weight.grad for weight in self._trained if weight.grad is not None)
        return {}


NewBackward = Callable[[list[nn.Parameter]], Backward]
"""Gives how losses become gradients of some weights."""
