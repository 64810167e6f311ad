"""How well a critic tells right hands from malformed ones."""

import torch
from torch import Tensor

MOST_STEPS = 50
SLIGHTLY = 1e-3  # pulls the calibration's scale toward 0, so that hands told apart without a fault leave it finite


def accuracy(right: Tensor, malformed: Tensor) -> float:
    """The share of hands on their side of 0, right and malformed hands counting the same.

    Args:
        right: [N] mean logits of right hands.
        malformed: [M] mean logits of malformed hands.
    """
    return ((right > 0).double().mean() + (malformed <= 0).double().mean()).item() / 2


def area_under_curve(right: Tensor, malformed: Tensor) -> float:
    """The probability that a right hand has the higher logit of two: 0.5 is chance, 1 perfect.

    Args:
        right: [N] mean logits of right hands.
        malformed: [M] mean logits of malformed hands.
    """
    ordered = malformed.double().sort().values
    below = torch.searchsorted(ordered, right.double(), right=False)
    not_above = torch.searchsorted(ordered, right.double(), right=True)
    return ((below + not_above).double().mean() / (2 * len(malformed))).item()


def calibration(right: Tensor, malformed: Tensor) -> tuple[float, float]:
    """Scale and offset of logits whose sigmoid is then how likely a hand is right, both kinds counting the same.

    Logistic regression (Platt's scaling) by Newton's method, in float64.

    Args:
        right: [N] mean logits of right hands.
        malformed: [M] mean logits of malformed hands.
    """
    logits = torch.cat([right, malformed]).double()
    truth = torch.cat([torch.ones_like(right), torch.zeros_like(malformed)]).double()
    shares = torch.cat(
        [right.new_full((len(right),), 0.5 / len(right)), malformed.new_full((len(malformed),), 0.5 / len(malformed))]
    )
    spread = logits.std().clamp(min=1e-12)
    inputs = torch.stack([logits / spread, torch.ones_like(logits)], dim=1)
    found = inputs.new_zeros(2)
    pull = torch.diag(inputs.new_tensor([SLIGHTLY, 0.0]))
    for _ in range(MOST_STEPS):
        likely = torch.sigmoid(inputs @ found)
        gradient = inputs.T @ (shares * (likely - truth)) + pull @ found
        curvature = inputs.T @ (inputs * (shares * likely * (1 - likely))[:, None]) + pull
        step = torch.linalg.lstsq(curvature, gradient).solution
        found = found - step * min(1.0, 2.0 / float(step.norm().clamp(min=1e-12)))
        if step.norm() < 1e-9:
            break
    return float(found[0] / spread), float(found[1])


def reliability(likely: Tensor, truth: Tensor, bins: int = 10) -> list[tuple[float, float, int]]:
    """How often hands are right by how likely that seemed: for each bin with hands mean probability, rate, count.

    Args:
        likely: [N] probabilities, 0..1.
        truth: [N] whether each hand is right.
        bins: of equal width.
    """
    places = (likely * bins).long().clamp(max=bins - 1)
    return [
        (float(likely[chosen].mean()), float(truth[chosen].float().mean()), int(chosen.sum()))
        for chosen in (places == place for place in range(bins))
        if chosen.any()
    ]


def calibration_error(likely: Tensor, truth: Tensor, bins: int = 10) -> float:
    """The expected calibration error: the mean gap of probability and rate over bins, weighted by their hands."""
    table = reliability(likely, truth, bins)
    return sum(abs(seemed - rate) * count for seemed, rate, count in table) / len(likely)
