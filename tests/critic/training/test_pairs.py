import pytest
import torch

from fairhands.critic.training.pairs import UNKNOWN, DrawnPairs, JoinedPairs, choose, load
from fairhands.training.draw import draw_of


@pytest.fixture
def pairs() -> DrawnPairs:
    pixels = torch.randint(256, (7, 2, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return DrawnPairs(pixels, torch.arange(7) % 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_gives_the_pairs_that_each_pass_draws(pairs: DrawnPairs, workers: int) -> None:
    draws = [draw_of(0, step, 4) for step in range(3)]
    loaded = list(load(pairs, iter(draws), workers))
    assert len(loaded) == 3
    for step, chosen in enumerate(loaded):
        numbers = [number for number, _ in choose(pairs, draw_of(0, step, 4))]
        assert torch.equal(chosen.seen, pairs.pairs[numbers])
        assert torch.equal(chosen.kinds, pairs.kinds[numbers])


def test_cached_features_are_given_instead_of_crops(pairs: DrawnPairs) -> None:
    features = torch.arange(14.0)[:, None, None, None].expand(14, 2, 3, 5)
    (chosen,) = load(pairs, iter([draw_of(0, 0, 4)]), 0, features)
    numbers = torch.tensor([number for number, _ in choose(pairs, draw_of(0, 0, 4))])
    assert chosen.seen.shape == (4, 2, 2, 3, 5)
    assert torch.equal(chosen.seen[:, :, 0, 0, 0], torch.stack([2.0 * numbers, 2.0 * numbers + 1], dim=1))


def test_joined_pairs_are_those_of_each_source(pairs: DrawnPairs) -> None:
    other = DrawnPairs(255 - pairs.pairs[:3], torch.full((3,), UNKNOWN))
    joined = JoinedPairs([other, pairs])
    assert (len(joined), joined.crops) == (10, 20)
    for number in range(10):
        source, place = (other, number) if number < 3 else (pairs, number - 3)
        right, malformed = joined.rows(number, 0)
        assert torch.equal(torch.stack([joined.crop(right), joined.crop(malformed)]), source.pairs[place])
        assert joined.kind(number) == source.kind(place)
        assert joined.text(number) == UNKNOWN
