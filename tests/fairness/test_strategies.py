import math

import pytest
import torch
from torch import Tensor

from fairhands.fairness.mpd import mpd_weights
from fairhands.fairness.strategies import (
    DynamicWeightAverage,
    StrategyError,
    Uncertainty,
    new_strategy,
)

GRAM = torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)


def losses(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_sum_weights_all_alike_and_fixed_weights_stay() -> None:
    assert new_strategy("sum", 3).weights().tolist() == [1, 1, 1]
    fixed = new_strategy("fixed", 3, fixed=[1, 0.5, 5])
    fixed.observe(losses(1, 2, 3))
    assert fixed.weights().tolist() == [1, 0.5, 5]


@pytest.mark.parametrize("name", ["mpd", "mpd_closed_form"])
def test_minimum_potential_delay_has_the_criterions_ratios_and_the_first_gradients_length(name) -> None:
    weights = new_strategy(name, 3).weights(GRAM)
    torch.testing.assert_close(weights / weights[0], (found := mpd_weights(GRAM, name == "mpd_closed_form")) / found[0])
    assert float(weights @ GRAM @ weights) == pytest.approx(1.0)
    assert weights[2] == 0


def test_uncertainty_comes_to_one_by_twice_the_loss() -> None:
    strategy = new_strategy("uncertainty", 2)
    assert strategy.weights().tolist() == [0.5, 0.5]
    for _ in range(3000):
        strategy.observe(losses(0.01, 4.0))
    torch.testing.assert_close(strategy.weights(), losses(50, 0.125), rtol=1e-3, atol=0)


def test_uncertainty_follows_the_slope_of_its_sum_and_leaves_absent_objectives() -> None:
    strategy = Uncertainty(2, rate=0.1)
    variances = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    ((torch.exp(-variances) * 0.3 + variances) / 2).sum().backward()
    strategy.observe(losses(0.3, math.nan))
    torch.testing.assert_close(strategy.weights(), losses(0, 0) + torch.exp(0.1 * losses(float(variances.grad), 0)) / 2)


def test_the_dynamic_weight_average_favours_what_falls_less() -> None:
    strategy = DynamicWeightAverage(2, window=2, temperature=2.0)
    for first in (1.0, 3.0, 2.0):
        strategy.observe(losses(first, 1.0))
        assert strategy.weights().tolist() == [1, 1]
    strategy.observe(losses(0.0, 1.0))  # the means are 2 and 1, then 1 and 1
    torch.testing.assert_close(strategy.weights(), 2 * torch.softmax(losses(0.5, 1.0) / 2, dim=0))


def test_the_dynamic_weight_average_is_over_the_steps_that_had_the_objective() -> None:
    strategy = DynamicWeightAverage(2, window=2)
    for second in (1.0, math.nan, math.nan, 0.5, math.nan, math.nan):
        strategy.observe(losses(1.0, second))
    assert strategy.means.tolist() == [[1, 0.5], [1, 0.5]]
    assert strategy.weights().tolist() == [1, 1]


@pytest.mark.parametrize("name", ["uncertainty", "dwa"])
def test_what_a_strategy_has_seen_can_be_kept_and_continued(name) -> None:
    one, other = new_strategy(name, 2), new_strategy(name, 2)
    for step in range(250):
        one.observe(losses(0.1 + 1 / (1 + step), 1.0))
    other.load_state_dict(one.state_dict())
    for strategy in (one, other):
        for _ in range(60):
            strategy.observe(losses(0.05, 1.0))
    assert torch.equal(one.weights(), other.weights())
    assert one.weights()[0] != one.weights()[1]


def test_torchjds_aggregators_weight_the_present_objectives() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    for name, options in (("UPGrad", {}), ("MGDA", {}), ("FairGrad", {"alpha": 2.0})):
        weights = new_strategy("torchjd", 3, torchjd=name, **options).weights(GRAM)
        jacobian = torch.linalg.cholesky(GRAM[:2, :2])
        expected = getattr(aggregation, name)(**options)(jacobian)
        torch.testing.assert_close(weights[:2] @ jacobian, expected, rtol=1e-4, atol=1e-6)
        assert weights[2] == 0


def test_torchjds_fair_weights_have_the_direction_of_minimum_potential_delay() -> None:
    pytest.importorskip("torchjd")
    theirs = new_strategy("torchjd", 3, torchjd="FairGrad", alpha=2.0).weights(GRAM)
    torch.testing.assert_close(theirs, mpd_weights(GRAM), rtol=1e-3, atol=0)


def test_torchjds_aggregators_that_need_more_than_the_gram_matrix_are_refused() -> None:
    pytest.importorskip("torchjd")
    with pytest.raises(StrategyError, match=r'aggregator should be one of .*UPGrad.*, found "TrimmedMean"'):
        new_strategy("torchjd", 3, torchjd="TrimmedMean")
    with pytest.raises(StrategyError, match=r"torchjd's FairGrad cannot be used with the options \{\}"):
        new_strategy("torchjd", 3, torchjd="FairGrad")


def test_without_torchjd_its_strategy_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("fairhands.fairness.strategies.find_spec", lambda name: None)
    with pytest.raises(StrategyError, match=r"needs its package: pip install .*torchjd.*, or take mpd"):
        new_strategy("torchjd", 3)


def test_wrong_strategies_are_refused() -> None:
    with pytest.raises(StrategyError, match=r'strategy should be one of mpd, .*, found "best"'):
        new_strategy("best", 3)
    with pytest.raises(StrategyError, match=r"fixed should have a weight for each of 3 objectives, found \[1, 2\]"):
        new_strategy("fixed", 3, fixed=[1, 2])
    with pytest.raises(StrategyError, match="finite and not negative"):
        new_strategy("fixed", 2, fixed=[1, -2])
    with pytest.raises(StrategyError, match="needs the gradients' Gram matrix"):
        new_strategy("mpd", 2).weights()
    with pytest.raises(StrategyError, match="window should be at least 1"):
        DynamicWeightAverage(2, window=0)
