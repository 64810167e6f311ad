import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairhands.guidance.background import Background

SHAPE = (2, 4, 6, 6)


def of(value: float) -> torch.Tensor:
    return torch.full(SHAPE, value)


@given(seed=st.integers(0, 1000))
def test_the_mask_mixes_guided_and_unguided_and_its_ends_are_exact(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    unguided, guided = torch.randn(2, *SHAPE, generator=generator)
    masks = torch.rand(2, 1, 6, 6, generator=generator)
    masks[:, :, :2], masks[:, :, 2:4] = 0, 1
    background = Background()
    background.keep(unguided, 1.5)
    mixed = background.behind(guided, masks, 1.5)
    assert torch.equal(mixed[:, :, :2], unguided[:, :, :2])
    assert torch.equal(mixed[:, :, 2:4], guided[:, :, 2:4])
    assert torch.allclose(mixed, masks * guided + (1 - masks) * unguided, atol=1e-6)


def test_estimates_at_one_sigma_come_in_their_order_and_the_last_one_again_for_repeats() -> None:
    background, nothing = Background(), torch.zeros(2, 1, 6, 6)
    for value, sigma in ((1.0, 2.0), (2.0, 1.0), (3.0, 1.0)):
        background.keep(of(value), sigma)
    found = [background.behind(of(9.0), nothing, sigma)[0, 0, 0, 0].item() for sigma in (2.0, 2.0, 1.0, 1.0, 1.0)]
    assert found == [1, 1, 2, 3, 3]


def test_what_is_kept_does_not_change_with_the_tensor_that_it_came_from() -> None:
    background, estimate = Background(), of(1.0)
    background.keep(estimate, 1.0)
    estimate.zero_()
    assert background.behind(of(9.0), torch.zeros(2, 1, 6, 6), 1.0).eq(1).all()


def test_a_sigma_that_was_not_there_is_refused_in_a_sentence() -> None:
    background = Background()
    background.keep(of(1.0), 1.0)
    with pytest.raises(ValueError, match="keep_background needs a sampler that takes the same steps"):
        background.behind(of(1.0), torch.zeros(2, 1, 6, 6), 0.5)
