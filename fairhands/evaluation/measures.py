"""Measures of sets of pictures: confidence intervals, Frechet and kernel distances, change outside a mask."""

import math

import torch
from torch import Tensor

KERNEL_DEGREE = 3
HIGHEST_PSNR = 100.0  # of equal pictures, whose PSNR is infinite


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a rate, at 95% for the default z; 0 and 1 where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    centre = rate + z**2 / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    # At a rate of 0 or 1 the ends are those exactly, but for rounding.
    return min(rate, max(0.0, (centre - half) / scale)), max(rate, min(1.0, (centre + half) / scale))


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """FID between features [N, D] and [M, D], N and M at least 2: the distance of two fitted normal distributions."""
    first, second = features.double(), reference.double()
    gap = (first.mean(dim=0) - second.mean(dim=0)).square().sum()
    covariances = torch.cov(first.T), torch.cov(second.T)
    # The trace of the square root of a product of two covariances: its eigenvalues are real and not negative.
    roots = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0).sqrt().sum()
    return float(gap + covariances[0].trace() + covariances[1].trace() - 2 * roots)


def kernel_distance(features: Tensor, reference: Tensor) -> float:
    """KID between features [N, D] and [M, D], N and M at least 2: the unbiased squared MMD of a cubic kernel."""
    first, second = features.double(), reference.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** KERNEL_DEGREE

    def within(a: Tensor) -> Tensor:
        matrix = kernel(a, a)
        return (matrix.sum() - matrix.trace()) / (len(a) * (len(a) - 1))

    return float(within(first) + within(second) - 2 * kernel(first, second).mean())


def background_psnr(pictures: Tensor, unguided: Tensor, masks: Tensor) -> float | None:
    """PSNR in dB between two sets of pictures outside of masks, over all pixels there; None if not one is outside.

    Args:
        pictures, unguided: uint8 [N, 3, H, W].
        masks: [N, H, W]; a pixel is outside where its mask is 0. Where none there has changed, 100 dB.
    """
    outside = (masks == 0)[:, None].expand_as(pictures)
    if not outside.any():
        return None
    error = ((pictures.double() - unguided.double())[outside] / 255).square().mean()
    return min(HIGHEST_PSNR, float(-10 * error.log10()))
