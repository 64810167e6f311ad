import pytest
import torch

from fairhands.guidance.normalisation import masked_rms, step_length
from fairhands.guidance.schedule import UNIT_STEP


def test_the_root_mean_square_is_that_of_the_masked_cells_of_all_channels() -> None:
    values = torch.randn(3, 4, 5)
    mask = torch.zeros(4, 5)
    mask[1:3, 2:4] = 1
    assert masked_rms(values, mask) == pytest.approx(float(values[:, 1:3, 2:4].square().mean().sqrt()))


def test_a_soft_mask_weighs_cells() -> None:
    values = torch.tensor([[[2.0, 4.0]]])
    assert masked_rms(values, torch.tensor([[1.0, 0.5]])) == pytest.approx(((4 + 0.5 * 16) / 1.5) ** 0.5)


def test_over_an_empty_mask_it_is_0() -> None:
    assert masked_rms(torch.ones(3, 4, 5), torch.zeros(4, 5)) == 0.0


@pytest.mark.parametrize("rms", [1e-6, 0.1, 1.0, 1e6])
def test_unit_gives_every_gradient_the_same_length(rms: float) -> None:
    assert step_length("unit", rms, None) * rms == pytest.approx(UNIT_STEP)
    assert step_length("unit", rms, 7.0) * rms == pytest.approx(UNIT_STEP)


@pytest.mark.parametrize("rms", [1e-6, 1.0, 1e6])
def test_cfg_gives_the_length_of_classifier_free_guidance_and_unit_without_it(rms: float) -> None:
    assert step_length("cfg", rms, 0.37) * rms == pytest.approx(0.37)
    assert step_length("cfg", rms, 0.0) == 0.0
    assert step_length("cfg", rms, None) * rms == pytest.approx(UNIT_STEP)


def test_clip_shortens_long_gradients_and_keeps_short_ones() -> None:
    assert step_length("clip", 5 * UNIT_STEP, None) * 5 * UNIT_STEP == pytest.approx(UNIT_STEP)
    assert step_length("clip", UNIT_STEP, None) == 1.0
    assert step_length("clip", 0.2 * UNIT_STEP, None) == 1.0


@pytest.mark.parametrize("rms", [1e-6, 1.0, 1e6])
def test_none_keeps_the_gradient_as_it_is(rms: float) -> None:
    assert step_length("none", rms, 0.37) == 1.0
