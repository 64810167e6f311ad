import pytest
import torch
from hypothesis import given, strategies

from fairhands.critic.training.measures import (
    accuracy,
    area_under_curve,
    calibration,
    calibration_error,
    reliability,
)

scores = strategies.lists(strategies.integers(-5, 5).map(float), min_size=1, max_size=20).map(torch.tensor)


def normal(count: int, mean: float, seed: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) + mean


def test_measures_of_chance_and_of_perfection() -> None:
    low, high = torch.tensor([-2.0, -1.0]), torch.tensor([1.0, 2.0])
    assert (accuracy(high, low), area_under_curve(high, low)) == (1, 1)
    assert (accuracy(low, high), area_under_curve(low, high)) == (0, 0)
    assert (accuracy(high, high), area_under_curve(high, high)) == (0.5, 0.5)


@given(right=scores, malformed=scores)
def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_half(right: torch.Tensor, malformed: torch.Tensor):
    difference = right[:, None] - malformed
    wanted = ((difference > 0).double() + (difference == 0).double() / 2).mean()
    assert area_under_curve(right, malformed) == pytest.approx(float(wanted))


def test_calibration_finds_the_odds_of_two_normal_distributions() -> None:
    # Of normal distributions around 1 and -1 with deviation 1 the log-odds at x are 2 x; shifted by 3, 2 (x - 3).
    scale, offset = calibration(normal(20_000, 4.0, 0), normal(5_000, 2.0, 1))
    assert scale == pytest.approx(2.0, abs=0.1)
    assert offset == pytest.approx(-6.0, abs=0.3)


@given(right=scores, malformed=scores)
def test_calibration_is_finite_whatever_the_scores(right: torch.Tensor, malformed: torch.Tensor) -> None:
    scale, offset = calibration(right, malformed)
    assert torch.tensor([scale, offset]).isfinite().all()


def test_calibrated_probabilities_are_right_as_often_as_they_say() -> None:
    scale, offset = calibration(normal(4000, 1.0, 0) * 3, normal(4000, -1.0, 1) * 3)
    logits = torch.cat([normal(4000, 1.0, 2) * 3, normal(4000, -1.0, 3) * 3])
    truth = torch.arange(8000) < 4000
    assert calibration_error(torch.sigmoid(scale * logits + offset), truth) < 0.02
    assert calibration_error(torch.sigmoid(5 * logits), truth) > 0.1


def test_reliability_has_a_row_for_each_bin_with_hands() -> None:
    table = reliability(torch.tensor([0.05, 0.06, 0.95, 1.0]), torch.tensor([False, True, True, True]))
    assert [count for _, _, count in table] == [2, 2]
    assert [rate for _, rate, _ in table] == [0.5, 1.0]
    assert [seemed for seemed, _, _ in table] == pytest.approx([0.055, 0.975])
    assert calibration_error(torch.tensor([0.05, 0.06, 0.95, 1.0]), torch.tensor([False, True, True, True])) == (
        pytest.approx((2 * 0.445 + 2 * 0.025) / 4)
    )
