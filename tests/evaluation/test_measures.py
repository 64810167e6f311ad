import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairhands.evaluation.measures import background_psnr, frechet_distance, kernel_distance, wilson_interval


@given(st.integers(1, 400), st.data())
def test_the_interval_holds_the_rate_and_lies_in_0_to_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_the_interval_is_wilsons() -> None:
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson_interval(0, 0) == (0, 1)


def test_the_frechet_distance_of_normal_sets_is_the_formulas() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(40_000, 3), torch.randn(40_000, 3) * 2 + torch.tensor([1.0, 0.0, 0.0])
    # |m1 - m2|^2 + 3 (1 + 4 - 2 sqrt 4)
    assert frechet_distance(first, second) == pytest.approx(1 + 3, rel=0.05)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_is_about_zero_between_samples_of_one_set_and_positive_otherwise() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(500, 8), torch.randn(500, 8)
    assert abs(kernel_distance(first, second)) < 0.05
    assert kernel_distance(first, second + 1) > 1


def test_only_pixels_outside_the_mask_count() -> None:
    unguided = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    pictures, masks = unguided.clone(), torch.zeros(2, 4, 4)
    masks[:, :2] = 0.3
    pictures[:, :, :2] = 255
    assert background_psnr(pictures, unguided, masks) == 100
    pictures[:, :, 2:] = 151  # 51 / 255 = 0.2, so 14 dB
    assert background_psnr(pictures, unguided, masks) == pytest.approx(13.979, abs=1e-3)
    assert background_psnr(pictures, unguided, torch.ones(2, 4, 4)) is None
