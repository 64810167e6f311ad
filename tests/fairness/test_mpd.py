import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from torch import Tensor

from fairhands.fairness.mpd import mpd_weights, rescaled

SEEDS = st.integers(0, 2**31)
COUNTS = st.integers(1, 6)
SHARED = st.floats(0, 0.95)  # of each gradient, what all of them have in common
DEGENERATE = ("none", "equal", "opposite", "zero", "infinite", "nan", "all equal", "all zero")


def gradients(seed: int, count: int = 3, shared: float = 0.0, shortest: float = 1e-2) -> Tensor:
    """Random gradients [count, 50] with lengths between `shortest` and 1, evenly over the logarithm."""
    generator = torch.Generator().manual_seed(seed)
    common, *own = torch.randn(1 + count, 50, generator=generator, dtype=torch.float64)
    found = (1 - shared**2) ** 0.5 * torch.stack(own) + shared * common
    lengths = shortest ** torch.rand(count, 1, generator=generator, dtype=torch.float64)
    return lengths * found / found.norm(dim=1, keepdim=True)


def gram(of: Tensor) -> Tensor:
    return of @ of.T


def reference(matrix: Tensor) -> Tensor:
    """The criterion's weights as a general solver finds them."""
    solved = least_squares(
        lambda w: matrix.numpy() @ w - w**-0.5, np.ones(len(matrix)) / len(matrix), bounds=(0, np.inf)
    )
    return torch.from_numpy(solved.x)


def cosine(one: Tensor, other: Tensor, matrix: Tensor) -> float:
    """Between the directions that two sets of weights give."""
    return float(one @ matrix @ other / (one @ matrix @ one).sqrt() / (other @ matrix @ other).sqrt())


def degenerate(kind: str, found: Tensor) -> Tensor:
    changes = {"equal": found[0], "opposite": -found[0], "zero": 0.0, "infinite": torch.inf, "nan": torch.nan}
    if kind in changes:
        found[1] = changes[kind]
    elif kind == "all equal":
        found[:] = found[0].clone()
    elif kind == "all zero":
        found[:] = 0
    return found


@given(SEEDS, COUNTS, SHARED)
def test_the_criterion_holds(seed: int, count: int, shared: float) -> None:
    matrix = gram(gradients(seed, count, shared))
    weights = mpd_weights(matrix)
    torch.testing.assert_close(matrix @ weights, weights.rsqrt(), rtol=0.05, atol=0)
    # Equal lengths leave the ridge alone to tell.
    matrix = matrix / matrix.diagonal().sqrt() / matrix.diagonal().sqrt()[:, None]
    weights = mpd_weights(matrix)
    torch.testing.assert_close(matrix @ weights + 1e-4 * weights, weights.rsqrt(), rtol=1e-9, atol=0)


@given(SEEDS, COUNTS, SHARED)
def test_no_objective_is_made_worse(seed: int, count: int, shared: float) -> None:
    matrix = gram(gradients(seed, count, shared))
    assert (matrix @ mpd_weights(matrix) > 0).all()


@given(SEEDS, st.integers(2, 6), st.sampled_from(DEGENERATE), st.floats(-20, 20))
def test_weights_are_positive_and_finite_whatever_the_gradients(seed: int, count: int, kind: str, scale: float) -> None:
    found = degenerate(kind, gradients(seed, count, shortest=1e-6) * 10**scale)
    lacking = kind in ("zero", "infinite", "nan")
    for closed_form in (False, True):
        weights = mpd_weights(gram(found), closed_form)
        assert weights.dtype == torch.float64
        assert weights.isfinite().all()
        assert rescaled(weights, gram(found)).isfinite().all()
        assert (weights[1] == 0) == (lacking or kind == "all zero")
        if not closed_form and kind != "all zero":
            assert (weights[[at for at in range(count) if at != 1 or not lacking]] > 0).all()


@given(SEEDS, COUNTS, SHARED, st.booleans(), st.randoms(use_true_random=False))
def test_permuted_objectives_have_permuted_weights(seed, count, shared, closed_form, random) -> None:
    found = gradients(seed, count, shared, shortest=1e-4)
    order = random.sample(range(count), count)
    torch.testing.assert_close(
        mpd_weights(gram(found[order]), closed_form), mpd_weights(gram(found), closed_form)[order], rtol=1e-6, atol=0
    )


@given(SEEDS, COUNTS, SHARED, st.booleans(), st.floats(-20, 20))
def test_gradients_times_a_number_have_its_power_of_minus_four_thirds(seed, count, shared, closed_form, power) -> None:
    matrix, factor = gram(gradients(seed, count, shared)), 10**power
    weights = mpd_weights(matrix, closed_form)
    larger = mpd_weights(matrix * factor**2, closed_form)
    torch.testing.assert_close(larger, weights * factor ** (-4 / 3), rtol=1e-6, atol=0)
    torch.testing.assert_close(rescaled(larger, matrix * factor**2), rescaled(weights, matrix), rtol=1e-6, atol=1e-12)


@given(st.lists(st.floats(1e-2, 1), min_size=1, max_size=6))
def test_orthogonal_gradients_have_the_closed_forms_weights(lengths: list[float]) -> None:
    lengths = [*lengths, 1.0]
    matrix = torch.tensor(lengths, dtype=torch.float64).square().diag()
    expected = torch.tensor(lengths, dtype=torch.float64) ** (-4 / 3)
    torch.testing.assert_close(mpd_weights(matrix, closed_form=True), expected)
    torch.testing.assert_close(mpd_weights(matrix), expected, rtol=1e-4, atol=0)


def test_the_closed_form_is_the_matrix_power_that_the_paper_prints() -> None:
    matrix = gram(gradients(0, shortest=0.5))
    cube = torch.linalg.matrix_power(torch.linalg.inv(matrix), 2)
    power = mpd_weights(matrix, closed_form=True)
    values, vectors = torch.linalg.eigh(cube)
    torch.testing.assert_close(power, (vectors * values ** (1 / 3)) @ vectors.T @ torch.ones(3, dtype=torch.float64))


def test_the_closed_form_gives_negative_weights_where_gradients_share_a_component() -> None:
    seen = [mpd_weights(gram(gradients(seed, shared=0.9)), closed_form=True).min() < 0 for seed in range(100)]
    assert sum(seen) > 60


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_general_solver_finds_the_same_direction(count: int, shared: float) -> None:
    for seed in range(20):
        matrix = gram(gradients(seed, count, shared))
        assert cosine(mpd_weights(matrix), reference(matrix), matrix) > 0.9999


def test_short_gradients_which_the_general_solver_fails_on_are_solved() -> None:
    matrix = gram(gradients(0, shared=0.3, shortest=0.1))
    right = cosine(mpd_weights(matrix * 1e-10), mpd_weights(matrix), matrix)
    assert right == pytest.approx(1)
    assert cosine(reference(matrix * 1e-10), mpd_weights(matrix), matrix) < 0.99
    for kind in ("zero", "infinite", "nan"):
        weights = mpd_weights(gram(degenerate(kind, gradients(0))))
        torch.testing.assert_close(weights[[0, 2]], mpd_weights(gram(gradients(0)[[0, 2]])))


def test_an_ever_shorter_gradient_has_no_ever_larger_weight() -> None:
    found = gradients(0, shortest=0.5)
    weights = []
    for length in (1e-2, 1e-4, 1e-8):
        found[1] *= length / found[1].norm()
        weights.append(float(mpd_weights(gram(found))[1]))
    assert weights[2] < 2 * weights[0]


@given(SEEDS, COUNTS, st.floats(0, 0.8), st.booleans())
def test_the_rescaled_combination_is_as_long_as_the_first_gradient(seed, count, shared, closed_form) -> None:
    found = gradients(seed, count, shared)
    weights = rescaled(mpd_weights(gram(found), closed_form), gram(found))
    assert float((weights @ found).norm()) == pytest.approx(float(found[0].norm()))


def test_without_the_first_objective_the_next_one_gives_the_length() -> None:
    found = gradients(0, 3)
    found[0] = 0
    weights = rescaled(mpd_weights(gram(found)), gram(found))
    assert float((weights @ found).norm()) == pytest.approx(float(found[1].norm()))


def test_gradients_that_cancel_are_not_blown_up() -> None:
    found = torch.tensor([[1.0, 0.0], [-1.0, 1e-9]], dtype=torch.float64)
    weights = rescaled(mpd_weights(gram(found)), gram(found))
    assert weights.abs().max() < 100
    assert (weights @ found).norm() < 1e-6


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gram should be a square matrix \[K, K\], found \[2, 3\]"):
        mpd_weights(torch.ones(2, 3))
