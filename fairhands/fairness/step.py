"""One training step for several objectives: their gradients, the weights from them, one gradient."""

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..training import processes
from ..training.backward import Backward, Losses
from .figures import figures
from .gradients import Gradient, accumulate, gram_matrix
from .strategies import Strategy, StrategyError

logger = logging.getLogger(__name__)

NEVER = 2**40  # steps since something that has not happened


class FairBackward(Backward):
    """Leaves the weighted sum of the objectives' gradients in the weights' `grad`.

    On a measured step each objective has a backward pass of its own through the graph of one forward pass. Its
    gradients are summed over the passes of the step and averaged over the processes; from the Gram matrix of these
    come the weights. With K objectives that takes K - 1 gradients more memory than a plain step. On the other steps the
    weights are known before, and one backward pass of the weighted sum of losses is all.

    An objective that is absent from a pass (no hand in the pictures) has a loss without a gradient: a plain zero.
    Each loss is a mean over all examples of its pass, those without the region counting as zero; then passes and
    processes make the step of one large batch.

    Args:
        weights: what is trained, of any floating point type; they have no `grad` before a step.
        objectives: the names of K losses, that of the whole picture first.
        strategy: gives K weights.
        refresh_every: steps between measured ones, whose weights are used until the next; also an objective's
            that was absent then is measured once its weight is that old. 0: never, for strategies that need no
            Gram matrix; others allow it for the logs.
        batched: all objectives in one batched backward pass, which is faster with activation checkpointing, since the
            forward pass is computed again but once. Dropout within what is checkpointed must be 0. Takes K gradients
            more while passes are accumulated.
        scaler: of the losses, for float16. The weights do not depend on its scale. Whoever steps the optimiser
            unscales; a gradient that overflowed is left in `grad` for the scaler to find.

    Raises:
        StrategyError: objectives and strategy, or strategy and refresh_every, do not fit each other.
    """

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        objectives: Sequence[str],
        strategy: Strategy,
        refresh_every: int = 1,
        batched: bool = False,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        super().__init__(weights)
        if len(objectives) != strategy.count or len(set(objectives)) != strategy.count:
            raise StrategyError(f"objectives should be {strategy.count} different names, found {list(objectives)}")
        if refresh_every < strategy.uses_gram:
            raise StrategyError(f"refresh_every should be at least {int(strategy.uses_gram)}, found {refresh_every}")
        self.objectives = tuple(objectives)
        self.strategy = strategy
        self.refresh_every = refresh_every
        self.batched = batched
        self.scaler = scaler
        self.factors: Tensor
        self.ages: Tensor
        self.gram: Tensor
        count = len(self.objectives)
        self.register_buffer("factors", torch.ones(count, dtype=torch.float64))
        self.register_buffer("ages", torch.full((count,), NEVER))
        self.register_buffer("gram", torch.zeros(count, count, dtype=torch.float64))
        self._begin()

    def add(self, losses: Losses, share: float) -> None:
        """Take one pass's losses, of which the objectives' count; a pass is as large a part of the step as `share`.

        Raises:
            ValueError: an objective has no loss, or one that is not a scalar.
        """
        own = [_scalar(losses, name) for name in self.objectives]
        here = {at: loss * share for at, loss in enumerate(own) if loss.requires_grad}
        if self._first:
            self._measured = self._is_due(here)
            if not self.strategy.uses_gram:
                self.factors.copy_(self.strategy.weights())
            self._first = False
        self._present[list(here)] = True
        self._add_losses(own, share)
        if self.scaler is not None:
            here = {at: self.scaler.scale(loss) for at, loss in here.items()}
        if not here:
            return
        if not self._measured:
            torch.stack([float(self.factors[at]) * loss for at, loss in here.items()]).sum().backward()
        elif self.batched:
            self._differentiate_together(here)
        else:
            self._differentiate_in_turn(here)

    def finish(self) -> Losses:
        """Leave the combined gradient in `grad`.

        Returns:
            Scalars on the CPU for each objective i: `present/i` (0 or 1), `weight/i`; and where gradients are
            measured, as they last were, `gradient_norm/i`, `share/i`, of the combined gradient's length, and
            `cosine/i_j`.
        """
        seen = _anywhere(self._present, self._device())
        if self._measured and seen.any():
            self._combine(seen)
        elif seen.any():
            self._leave(self._averaged(self._taken()))
        if self.strategy.observes:
            self.strategy.observe(self._mean_losses(seen))
        self.ages += 1
        result = figures(self.objectives, seen, self.factors, self.gram if self.refresh_every else None)
        self._begin()
        return result

    def _begin(self) -> None:
        count = len(self.objectives)
        self._first, self._measured = True, False
        self._present = torch.zeros(count, dtype=torch.bool)
        self._gradients: list[Gradient] = [[] for _ in range(count)]
        self._losses: Tensor | None = None

    def _is_due(self, here: Mapping[int, Tensor]) -> bool:
        """Whether an objective of the first pass, in any process, has a weight that is too old."""
        if self.refresh_every <= 1:
            return self.refresh_every == 1
        present = torch.zeros(len(self.objectives), dtype=torch.bool)
        present[list(here)] = True
        return bool((self.ages >= self.refresh_every)[_anywhere(present, self._device())].any())

    def _add_losses(self, losses: Sequence[Tensor], share: float) -> None:
        if self.strategy.observes:
            values = torch.stack([loss.detach().to(self._device(), torch.float32) for loss in losses]) * share
            self._losses = values if self._losses is None else self._losses + values

    def _mean_losses(self, seen: Tensor) -> Tensor:
        assert self._losses is not None
        processes.average([self._losses])
        return self._losses.cpu().double().masked_fill(~seen, torch.nan)

    def _differentiate_in_turn(self, losses: Mapping[int, Tensor]) -> None:
        """A backward pass for each objective, which adds to its own tensors: none is held twice."""
        last = list(losses)[-1]
        for at, loss in losses.items():
            self._leave(self._gradients[at])
            loss.backward(retain_graph=at != last)
            self._gradients[at] = self._taken()

    def _differentiate_together(self, losses: Mapping[int, Tensor]) -> None:
        stacked = torch.stack([loss.float() for loss in losses.values()])
        each = torch.eye(len(losses), device=stacked.device)
        found = torch.autograd.grad(stacked, self._trained, each, is_grads_batched=True, allow_unused=True)
        for row, at in enumerate(losses):
            gradient = [None if parts is None else parts[row] for parts in found]
            self._gradients[at] = accumulate(self._gradients[at], gradient)

    def _combine(self, seen: Tensor) -> None:
        for at in seen.nonzero().flatten().tolist():
            self._gradients[at] = self._averaged(self._gradients[at])
        gram = self._measure()
        kept = gram.diagonal().isfinite() & seen
        self._report(seen & ~kept)
        gram = torch.where(kept[:, None] & kept, gram, 0.0)
        fresh = kept & (gram.diagonal() > 0)
        factors = self.strategy.weights(gram) if self.strategy.uses_gram else self.factors
        self.factors[fresh] = factors[fresh]
        self.ages[seen] = 0
        self.gram.copy_(gram)
        used = torch.where(fresh, factors, 0.0)
        if self.scaler is not None:
            used[seen & ~kept] = 1.0
        self._leave_sum(used)

    def _measure(self) -> Tensor:
        """The Gram matrix of unscaled gradients, the same in all processes."""
        gram = gram_matrix(self._gradients)
        processes.average([gram])
        unit = self.scaler.get_scale() if self.scaler is not None else 1.0
        return gram.cpu() / unit**2

    def _leave_sum(self, factors: Tensor) -> None:
        """Put the weighted sum of the gradients into `grad`, in the memory of the first of them."""
        total: Gradient = []
        for at in factors.nonzero().flatten().tolist():
            total = accumulate(total, self._gradients[at], float(factors[at]))
            self._gradients[at] = []
        self._leave(total)

    def _leave(self, gradient: Gradient) -> None:
        for weight, part in zip(self._trained, gradient or [None] * len(self._trained), strict=True):
            weight.grad = part

    def _taken(self) -> Gradient:
        """The gradient in `grad`, which is empty afterwards."""
        gradient = [weight.grad for weight in self._trained]
        self._leave([])
        return gradient

    def _averaged(self, gradient: Gradient) -> Gradient:
        """The mean over processes; what this process lacks is zero, since others may have it."""
        if processes.state().num_processes == 1:
            return gradient
        parts = gradient or [None] * len(self._trained)
        whole = [
            torch.zeros_like(weight) if part is None else part
            for weight, part in zip(self._trained, parts, strict=True)
        ]
        processes.average(whole)
        return list(whole)

    def _report(self, lost: Tensor) -> None:
        for at in lost.nonzero().flatten().tolist():
            logger.warning("the step is without the objective %s, whose gradient is not finite", self.objectives[at])

    def _device(self) -> torch.device:
        return self._trained[0].device


def _scalar(losses: Losses, name: str) -> Tensor:
    if name not in losses or losses[name].ndim:
        found = list(losses) if name not in losses else f"shape {list(losses[name].shape)}"
        raise ValueError(f'losses should have a scalar for the objective "{name}", found {found}')
    return losses[name]


def _anywhere(flags: Tensor, device: torch.device) -> Tensor:
    """Which flags are set in any process; bool on the CPU."""
    if processes.state().num_processes == 1:
        return flags
    counts = flags.to(device, torch.float32)
    processes.total([counts])
    return (counts > 0).cpu()
