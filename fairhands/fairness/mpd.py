"""Minimum Potential Delay: weights that are fair to several objectives, from their gradients' Gram matrix.

FairHuman (arXiv 2507.02714), whose weights are FairGrad's (arXiv 2402.15638) with alpha = 2.
"""

import torch
from torch import Tensor

# An objective whose gradient is shorter than this, in lengths of the longest one, is treated as if it had this length:
# without the floor its weight would grow without bound, and with it the noise of its gradient.
SHORTEST = 1e-2
# Added to the squared length 1 of each direction, so that equal and opposite gradients have a solution too.
RIDGE = 1e-4
# The closed form's smallest eigenvalue, in units of the largest one.
SMALLEST_EIGENVALUE = 1e-4
# The least length of a combined gradient, in units of its parts' summed lengths, that counts as one: a shorter one is
# mostly what was lost in rounding, and is not made as long as the reference's.
LEAST_COMBINED = 1e-2

# When the function would fall by no more than this, relative to its parts: what a last step leaves is the square of it.
TOLERANCE = 1e-12
MOST_ITERATIONS = 50
SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo's rule)
SMALLEST_PART = 1e-12  # of a step


def mpd_weights(gram: Tensor, closed_form: bool = False) -> Tensor:
    """The weights w by which Minimum Potential Delay combines gradients g_i into d = sum_i w_i g_i.

    A step along d lowers objective i at the rate <g_i, d>. Minimum Potential Delay minimises the summed time that the
    objectives take, sum_i 1 / <g_i, d>, over directions of bounded length (FairGrad, eq. 5 with alpha = 2). There the
    gradient by d, sum_i g_i / <g_i, d>^2, is parallel to d, so that w_i = <g_i, d>^(-2) up to scale, and with
    <g_i, d> = (A w)_i, A the Gram matrix,

        (A w)_i = w_i^(-1/2)                                                                                    (1)

    All rates are positive: no present objective is made worse. (1) is where f(w) = w^T A w / 2 - 2 sum_i sqrt(w_i) has
    no slope; f is strictly convex for w > 0, so the solution is unique. With w = v / n, n_i = |g_i|, it becomes

        (C v)_i = s_i / sqrt(v_i),    C_ij = A_ij / (n_i n_j),    s_i = n_i^(-1/2)                               (2)

    whose matrix holds cosines, whatever the lengths are; damped Newton steps solve it. For gradients that are
    orthogonal, w_i = n_i^(-4/3), an objective's part of d has the length n_i^(-1/3), and (1) is the closed form
    that FairHuman prints, w = A^(-2/3) 1. Gradients c times as long have weights c^(-4/3) times as large.

    Kept finite for any gradients: see `SHORTEST` and `RIDGE`. So (1) holds up to the ridge where lengths differ less
    than a hundredfold and no gradient is nearly a combination of the others.

    Args:
        gram: [K, K], the gradients' inner products; of any floating point type, computed in float64.
        closed_form: the paper's printed matrix power instead, its eigenvalues at least `SMALLEST_EIGENVALUE` of the
            largest. It solves (1) only where the gradients are orthogonal, or alike in length and angles, and is
            negative for some objectives where they share a component.

    Returns:
        float64 [K] on the CPU: positive (exact), finite; 0 for objectives whose gradient is zero or not finite.

    Raises:
        ValueError: the Gram matrix is not square.
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"gram should be a square matrix [K, K], found {list(gram.shape)}")
    gram = gram.detach().to("cpu", torch.float64)
    kept = present(gram)
    weights = torch.zeros(len(gram), dtype=torch.float64)
    if kept.any():
        own = gram[kept][:, kept]
        largest = own.diagonal().max()
        solve = _matrix_power if closed_form else _exact
        weights[kept] = solve(own / largest) * largest ** (-2 / 3)
    return weights


def present(gram: Tensor) -> Tensor:
    """Which objectives have a gradient: bool [K], False where it is zero or not finite."""
    squares = gram.diagonal()
    return squares.isfinite() & (squares > 0)


def rescaled(weights: Tensor, gram: Tensor) -> Tensor:
    """The weights, scaled so that the combined gradient is as long as that of the first objective that is present.

    With that, learning rate and clipping mean what they mean for that objective alone, and the weights don't depend on
    a common scale of the gradients, such as a loss scale for float16.

    Args:
        weights: float64 [K].
        gram: [K, K], on any device.

    Returns:
        float64 [K]; where gradients all but cancel, the combined one stays shorter (`LEAST_COMBINED`).
    """
    gram = gram.detach().to("cpu", torch.float64)
    kept = present(gram)
    if not kept.any():
        return weights
    own, largest = gram[kept][:, kept], gram.diagonal()[kept].max()
    own, parts = own / largest, weights[kept] / weights[kept].abs().max()
    lengths = own.diagonal().sqrt()
    combined = (parts @ own @ parts).clamp(min=0).sqrt()
    scaled = torch.zeros_like(weights)
    scaled[kept] = parts * lengths[0] / torch.maximum(combined, LEAST_COMBINED * (parts.abs() @ lengths))
    return scaled


def _matrix_power(gram: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp(min=SMALLEST_EIGENVALUE * float(values[-1]))
    return vectors @ (values ** (-2 / 3) * vectors.sum(dim=0))


def _exact(gram: Tensor) -> Tensor:
    """The solution of (1) by way of (2), for a Gram matrix whose largest square is 1."""
    lengths = gram.diagonal().sqrt().clamp(min=SHORTEST)
    cosines = gram / (lengths[:, None] * lengths)
    cosines.diagonal().fill_(1 + RIDGE)
    return _newton(cosines, lengths.rsqrt()) / lengths


def _newton(matrix: Tensor, right: Tensor) -> Tensor:
    """The v > 0 with matrix v = right / sqrt(v): the least of v^T matrix v / 2 - 2 right^T sqrt(v)."""
    values = right ** (2 / 3)  # the solution where the matrix is the unit matrix
    for _ in range(MOST_ITERATIONS):
        wanted = right * values.rsqrt()
        slope = matrix @ values - wanted
        step = torch.linalg.solve(matrix + torch.diag(wanted / (2 * values)), -slope)
        fall = -float(slope @ step)
        if fall <= TOLERANCE * float(wanted @ values):
            return values + step
        values = _damped(matrix, right, values, step, fall)
    return values


def _damped(matrix: Tensor, right: Tensor, values: Tensor, step: Tensor, fall: float) -> Tensor:
    """As far along the step as values stay positive and the function falls."""
    part, least = 1.0, _potential(matrix, right, values)
    while part > SMALLEST_PART:
        moved = values + part * step
        if bool((moved > 0).all()) and _potential(matrix, right, moved) <= least - SUFFICIENT * part * fall:
            break
        part /= 2
    return values + part * step


def _potential(matrix: Tensor, right: Tensor, values: Tensor) -> float:
    return float(values @ matrix @ values / 2 - 2 * right @ values.sqrt())
