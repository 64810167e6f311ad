import pytest
import torch

from fairhands.fairness.gradients import accumulate, gram_matrix, scale


def test_the_gram_matrix_is_that_of_the_flattened_gradients() -> None:
    torch.manual_seed(0)
    gradients = [[torch.randn(3, 4), torch.randn(5), torch.randn(2, 3, 3).transpose(0, 2)] for _ in range(3)]
    flat = torch.stack([torch.cat([part.flatten() for part in gradient]) for gradient in gradients]).double()
    torch.testing.assert_close(gram_matrix(gradients), flat @ flat.T, rtol=1e-5, atol=1e-5)


def test_missing_parts_and_empty_gradients_count_as_zero() -> None:
    ones = torch.ones(2)
    gram = gram_matrix([[ones, ones], [ones, None], []])
    assert gram.tolist() == [[4, 2, 0], [2, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_squares_that_16_bits_cannot_hold_are_in_the_gram_matrix(kind: torch.dtype) -> None:
    large = [torch.full((100,), 1024.0, dtype=kind)]
    assert gram_matrix([large, large]).tolist() == [[100 * 2.0**20] * 2] * 2


def test_accumulating_adds_in_the_memory_of_the_first() -> None:
    one, other = torch.ones(2), torch.full((2,), 2.0)
    total = accumulate([one, None, one.clone()], [other, other.clone(), None], 0.5)
    assert total[0] is one
    assert [part.tolist() for part in total if part is not None] == [[2, 2], [1, 1], [1, 1]]
    assert accumulate([], [other], 3)[0] is other
    assert other.tolist() == [6, 6]
    assert scale([other, None], 0.5)[1] is None
    assert other.tolist() == [3, 3]
