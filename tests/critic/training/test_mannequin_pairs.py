"""The two pictures of a pair differ in the hand and in nothing else."""

import torch

from fairhands.critic.training.mannequin_pairs import MALFORMED, MannequinPairs


def test_pairs_take_the_malformed_kinds_in_turn_and_are_the_same_each_time():
    pairs = MannequinPairs(first_seed=5, count=9, drawn_size=64, input_size=32, margin=0.15)
    items = [pairs[number] for number in range(len(pairs))]
    assert [kind for _, kind in items] == [*range(len(MALFORMED)), 0, 1]
    for number, (pictures, _) in enumerate(items):
        assert pictures.shape == (2, 3, 32, 32)
        assert pictures.dtype == torch.uint8
        assert not torch.equal(pictures[0], pictures[1])
        assert torch.equal(pairs[number][0], pictures)
    assert torch.equal(MannequinPairs(6, 1, 64, 32, 0.15)[0][0][0], items[1][0][0])
