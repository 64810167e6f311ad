"""Changes that a critic's training makes to its pictures, and guidance never does."""

import torch
from torch import Tensor
from torch.nn import functional

TURN = 0.25  # radians to either side
ZOOM = 0.2  # of the logarithm
SHIFT = 0.1  # of half the side
BRIGHTNESS = 0.15
CONTRAST = 0.2
NOISE = 0.05


def augment(pairs: Tensor, blurred: float, generator: torch.Generator) -> Tensor:
    """Mirror, turn, zoom, shift and light pictures at random, and blur some; alike within each pair.

    Args:
        pairs: float [P, 2, 3, S, S] in 0..1.
        blurred: the share of pairs, 0..1, that look like an early estimate of a picture: half the resolution,
            and noise.
        generator: where the random numbers come from.

    Returns:
        [P, 2, 3, S, S] in 0..1.
    """
    folded = pairs.flatten(1, 2)
    grid = functional.affine_grid(_motions(len(pairs), generator), list(folded.shape), align_corners=False)
    moved = functional.grid_sample(folded, grid, padding_mode="border", align_corners=False)
    contrast = 1 + _uniform(CONTRAST, (len(pairs), 1, 1, 1), generator)
    brightness = _uniform(BRIGHTNESS, (len(pairs), 1, 1, 1), generator)
    lit = (moved - 0.5) * contrast + 0.5 + brightness
    return _blurred(lit, blurred, generator).clamp(0, 1).view_as(pairs)


def _motions(count: int, generator: torch.Generator) -> Tensor:
    """Affine matrices [count, 2, 3]: mirrored or not, turned, zoomed, shifted."""
    turn = _uniform(TURN, (count,), generator)
    zoom = _uniform(ZOOM, (count,), generator).exp()
    mirror = torch.randint(2, (count,), generator=generator) * 2.0 - 1
    across = torch.stack([turn.cos() * zoom * mirror, -turn.sin() * zoom], dim=1)
    down = torch.stack([turn.sin() * zoom * mirror, turn.cos() * zoom], dim=1)
    shift = _uniform(SHIFT, (count, 2, 1), generator)
    return torch.cat([torch.stack([across, down], dim=1), shift], dim=2)


def _blurred(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = torch.rand(len(pictures), generator=generator) < share
    coarse = functional.avg_pool2d(pictures[chosen], 2)
    smooth = functional.interpolate(coarse, pictures.shape[2:], mode="bilinear")
    noise = torch.randn(smooth.shape, generator=generator) * NOISE
    return pictures.index_put((chosen,), smooth + noise)


def _uniform(limit: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit
