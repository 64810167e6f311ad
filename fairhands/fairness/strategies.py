"""How objectives are weighted: Minimum Potential Delay, and what it is compared with."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .mpd import mpd_weights, present, rescaled

StrategyName = Literal["mpd", "mpd_closed_form", "sum", "fixed", "uncertainty", "dwa", "torchjd"]


class StrategyError(ValueError):
    """A strategy that cannot be used; its text says why and what would do."""


class Strategy(nn.Module):
    """Gives K objectives their weights; this one gives each the weight 1, so that they are summed.

    What a strategy remembers lies in its buffers, on the CPU, for checkpoints.

    Args:
        count: K, the number of objectives; the first one is that of the whole picture.
    """

    uses_gram = False
    """Whether the weights come from the gradients' Gram matrix."""
    observes = False
    """Whether they come from earlier steps' losses."""

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 1:
            raise StrategyError(f"count should be at least 1 objective, found {count}")
        self.count = count

    def weights(self, gram: Tensor | None = None) -> Tensor:
        """The weights of this step, float64 [K] on the CPU.

        Args:
            gram: float64 [K, K] on the CPU, whose rows and columns of absent objectives are zero; only where
                `uses_gram`.
        """
        return torch.ones(self.count, dtype=torch.float64)

    def observe(self, losses: Tensor) -> None:
        """Remember a step's losses, float64 [K] on the CPU, nan where an objective was absent."""


class MinimumPotentialDelay(Strategy):
    """Minimum Potential Delay (FairHuman, arXiv 2507.02714), the combined gradient as long as the first objective's.

    Args:
        count: number of objectives.
        closed_form: the matrix power that the paper prints, rather than the criterion's exact solution.
    """

    uses_gram = True

    def __init__(self, count: int, closed_form: bool = False) -> None:
        super().__init__(count)
        self.closed_form = closed_form

    def weights(self, gram: Tensor | None = None) -> Tensor:
        gram = _given(gram)
        return rescaled(mpd_weights(gram, self.closed_form), gram)


class Fixed(Strategy):
    """Weights that are given and stay.

    Args:
        fixed: one for each objective, finite and not negative.
    """

    def __init__(self, fixed: Sequence[float]) -> None:
        super().__init__(len(fixed))
        self.fixed = torch.tensor(fixed, dtype=torch.float64)
        if not self.fixed.isfinite().all() or (self.fixed < 0).any():
            raise StrategyError(f"the fixed weights should be finite and not negative, found {list(fixed)}")

    def weights(self, gram: Tensor | None = None) -> Tensor:
        return self.fixed.clone()


class Uncertainty(Strategy):
    """Weights by each objective's noise (arXiv 1705.07115, eq. 7): sum_i exp(-s_i) l_i / 2 + s_i / 2.

    Each s_i, the logarithm of a variance, follows the slope of that sum with a rate of its own: the rates that adapters
    are trained with are far too low for it. Where losses stay alike it comes to log l_i, and the weight to 1 / (2 l_i).

    Args:
        count: number of objectives.
        rate: step size of each s_i.
    """

    observes = True

    def __init__(self, count: int, rate: float = 0.02) -> None:
        super().__init__(count)
        if not 0 < rate <= 1:
            raise StrategyError(f"rate should be above 0 and at most 1, found {rate}")
        self.rate = rate
        self.log_variances: Tensor
        self.register_buffer("log_variances", torch.zeros(count, dtype=torch.float64))

    def weights(self, gram: Tensor | None = None) -> Tensor:
        return torch.exp(-self.log_variances) / 2

    def observe(self, losses: Tensor) -> None:
        slope = (1 - torch.exp(-self.log_variances) * losses) / 2
        # A loss far above its variance would throw s_i as far beyond it.
        self.log_variances -= self.rate * slope.clamp(min=-1).nan_to_num(0.0)


class DynamicWeightAverage(Strategy):
    """Dynamic weight average (arXiv 1803.10704, eq. 7): more weight where the loss fell less.

    With L_i the mean loss in a window of steps (the paper's epoch), r_i = L_i(last) / L_i(the one before) and
    weights K softmax(r / temperature). All are 1 before two windows are full; an objective that was absent through a
    window keeps its last mean.

    Args:
        count: number of objectives.
        window: steps in a window.
        temperature: how alike the weights are.
    """

    observes = True

    def __init__(self, count: int, window: int = 100, temperature: float = 2.0) -> None:
        super().__init__(count)
        if window < 1 or temperature <= 0:
            raise StrategyError(
                f"window should be at least 1 and temperature above 0, found {window} and {temperature}"
            )
        self.window = window
        self.temperature = temperature
        self.means: Tensor
        self.sums: Tensor
        self.counts: Tensor
        self.steps: Tensor
        self.register_buffer("means", torch.full((2, count), torch.nan, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def weights(self, gram: Tensor | None = None) -> Tensor:
        before, last = self.means
        pace = (last / before).nan_to_num(1.0, 1.0)
        return self.count * torch.softmax(pace / self.temperature, dim=0)

    def observe(self, losses: Tensor) -> None:
        self.sums += losses.nan_to_num(0.0)
        self.counts += ~losses.isnan()
        self.steps += 1
        if int(self.steps) == self.window:
            means = torch.where(self.counts > 0, self.sums / self.counts.clamp(min=1), self.means[1])
            self.means.copy_(torch.stack([self.means[1], means]))
            for passed in (self.sums, self.counts, self.steps):
                passed.zero_()


class TorchJd(Strategy):
    """An aggregator of the package torchjd that weights by the Gram matrix, here the present objectives' own.

    Its weights are taken as they are.

    Args:
        count: number of objectives.
        aggregator: its name in `torchjd.aggregation`: "UPGrad", "MGDA", "FairGrad", ...
        options: its arguments.

    Raises:
        StrategyError: torchjd is not installed, or has no such aggregator with these arguments.
    """

    uses_gram = True

    def __init__(self, count: int, aggregator: str = "UPGrad", **options: object) -> None:
        super().__init__(count)
        if find_spec("torchjd") is None:
            raise StrategyError(
                'the strategy torchjd needs its package: pip install "torchjd[quadprog_projector]", or take mpd'
            )
        from torchjd import aggregation  # type: ignore[import-not-found]

        kinds = {name: kind for name in aggregation.__all__ if _weights_by_gram(kind := getattr(aggregation, name))}
        if aggregator not in kinds:
            raise StrategyError(f'torchjd\'s aggregator should be one of {", ".join(kinds)}, found "{aggregator}"')
        try:
            self.weighting: nn.Module = kinds[aggregator](**options).gramian_weighting
        except (ImportError, TypeError, ValueError) as error:
            raise StrategyError(f"torchjd's {aggregator} cannot be used with the options {options}: {error}") from error

    def weights(self, gram: Tensor | None = None) -> Tensor:
        gram = _given(gram)
        kept = present(gram)
        weights = torch.zeros(self.count, dtype=torch.float64)
        if kept.any():
            weights[kept] = self.weighting(gram[kept][:, kept])
        return weights


def _weights_by_gram(kind: type) -> bool:
    from torchjd.aggregation import GramianWeightedAggregator  # type: ignore[import-not-found]

    return issubclass(kind, GramianWeightedAggregator) and kind is not GramianWeightedAggregator


def new_strategy(
    name: StrategyName, count: int, fixed: Sequence[float] = (), torchjd: str = "UPGrad", **options: object
) -> Strategy:
    """A strategy by its name in configurations.

    Args:
        name: "mpd", "mpd_closed_form", "sum", "fixed", "uncertainty", "dwa" or "torchjd".
        count: number of objectives.
        fixed: the weights of "fixed", one for each objective.
        torchjd: which aggregator "torchjd" takes.
        options: that aggregator's arguments.

    Raises:
        StrategyError: there is no such strategy, or it cannot be used.
    """
    if name == "fixed":
        if len(fixed) != count:
            raise StrategyError(f"fixed should have a weight for each of {count} objectives, found {list(fixed)}")
        return Fixed(fixed)
    if name == "torchjd":
        return TorchJd(count, torchjd, **options)
    if name in ("mpd", "mpd_closed_form"):
        return MinimumPotentialDelay(count, closed_form=name == "mpd_closed_form")
    plain = {"sum": Strategy, "uncertainty": Uncertainty, "dwa": DynamicWeightAverage}
    if name not in plain:
        raise StrategyError(f'strategy should be one of {", ".join(get_args(StrategyName))}, found "{name}"')
    return plain[name](count)


def _given(gram: Tensor | None) -> Tensor:
    if gram is None:
        raise StrategyError("this strategy needs the gradients' Gram matrix, found none")
    return gram
