import torch
from hypothesis import given, strategies

from fairhands.training.draw import draw_of

counts = strategies.integers(1, 5)


@given(batch=counts, parts=counts, seed=strategies.integers(0, 10**6), step=strategies.integers(0, 10**6))
def test_the_parts_of_a_step_draw_together_what_one_large_batch_draws(
    batch: int, parts: int, seed: int, step: int
) -> None:
    whole = draw_of(seed, step, batch * parts)
    some = [draw_of(seed, step, batch, part, parts) for part in range(parts)]
    for draw in (
        lambda draw: draw.integers(1000, 2),
        lambda draw: draw.uniform(3),
        lambda draw: draw.normal(2, 2),
    ):
        assert torch.equal(draw(whole), torch.cat([draw(one) for one in some]))


def test_steps_and_seeds_draw_differently() -> None:
    places = [(seed, step) for seed in range(9) for step in (0, 1, 20000)]
    assert len({tuple(draw_of(seed, step, 4).uniform().tolist()) for seed, step in places}) == len(places)


def test_numbers_lie_where_they_should() -> None:
    draw = draw_of(0, 0, 1000)
    assert set(draw.integers(3).tolist()) == {0, 1, 2}
    assert 0 <= draw.uniform().min() < draw.uniform().max() < 1
    assert abs(draw.normal().std() - 1) < 0.1
