"""How well a critic tells right hands from malformed ones."""

from torch import Tensor


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
    difference = right[:, None] - malformed
    return ((difference > 0).double() + (difference == 0).double() / 2).mean().item()
