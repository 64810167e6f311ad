"""Changes that a critic's training makes to its pictures, and guidance never does."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ...training.configuration import Configuration
from ...training.draw import Draw

GREY = (0.299, 0.587, 0.114)


class Augmentation(Configuration):
    """How far pictures are changed; all zeros leave them as they are, and then features can be cached."""

    mirrored: float = Field(default=0.5, ge=0, le=1, description="Share of pairs that are mirrored.")
    turn: float = Field(default=0.25, ge=0, description="Largest turn to either side, in radians.")
    zoom: float = Field(default=0.2, ge=0, description="Largest zoom in or out, as a logarithm.")
    shift: float = Field(default=0.125, ge=0, le=1, description="Largest shift, as a share of the side.")
    brightness: float = Field(default=0.15, ge=0, description="Largest brightness added or taken; colours are 0 to 1.")
    contrast: float = Field(default=0.2, ge=0, le=1, description="Largest change of contrast, as a factor around 1.")
    saturation: float = Field(default=0.3, ge=0, le=1, description="Largest change of saturation, likewise.")
    cutout: float = Field(default=0.0, ge=0, le=1, description="Side of the square that is blanked, of the picture's.")
    blurred: float = Field(
        default=0.25, ge=0, le=1, description="Share of pairs blurred and noised, as guidance will see pictures."
    )
    noise: float = Field(default=0.05, ge=0, description="Standard deviation of the noise on blurred pairs.")

    @property
    def is_off(self) -> bool:
        """Whether pictures stay as they are."""
        return not any(value for name, value in self if name != "noise")


def augment(pairs: Tensor, how: Augmentation, draw: Draw) -> Tensor:
    """Move, light, blank and blur pictures at random (after DiffAugment), alike within each pair.

    Args:
        pairs: float [P, 2, 3, S, S] in 0..1, on any device.
        how: how far.
        draw: of the pass; P is its batch.

    Returns:
        [P, 2, 3, S, S] in 0..1, differentiable to `pairs`.
    """
    if how.is_off:
        return pairs
    moved = _moved(pairs.flatten(1, 2), how, draw).view_as(pairs)
    lit = _lit(moved, how, draw)
    return _blurred(_cut(lit, how.cutout, draw), how, draw).clamp(0, 1)


def _moved(pictures: Tensor, how: Augmentation, draw: Draw) -> Tensor:
    """Mirrored or not, turned, zoomed, shifted; the border's pixels fill what comes in."""
    turn = _around(draw, how.turn)
    zoom = _around(draw, how.zoom).exp()
    mirror = 1 - 2.0 * (draw.uniform() < how.mirrored)
    across = torch.stack([turn.cos() * zoom * mirror, -turn.sin() * zoom], dim=1)
    down = torch.stack([turn.sin() * zoom * mirror, turn.cos() * zoom], dim=1)
    shift = 2 * _around(draw, how.shift, 2, 1)  # the grid is 2 wide
    motions = torch.cat([torch.stack([across, down], dim=1), shift], dim=2).to(pictures)
    grid = functional.affine_grid(motions, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _lit(pairs: Tensor, how: Augmentation, draw: Draw) -> Tensor:
    contrast, saturation, brightness = (
        _around(draw, limit, 1, 1, 1, 1).to(pairs) for limit in (how.contrast, how.saturation, how.brightness)
    )
    grey = (pairs * pairs.new_tensor(GREY)[:, None, None]).sum(dim=2, keepdim=True)
    coloured = grey + (1 + saturation) * (pairs - grey)
    return (1 + contrast) * (coloured - 0.5) + 0.5 + brightness


def _cut(pairs: Tensor, share: float, draw: Draw) -> Tensor:
    """A square anywhere, partly outside at times, turned grey."""
    centres = draw.uniform(2)
    if share == 0:
        return pairs
    places = (torch.arange(pairs.shape[-1]) + 0.5) / pairs.shape[-1]
    near = (places - centres[..., None]).abs() < share / 2
    blank = (near[:, 0, :, None] & near[:, 1, None, :])[:, None, None].to(pairs.device)
    return torch.where(blank, 0.5, pairs)


def _blurred(pairs: Tensor, how: Augmentation, draw: Draw) -> Tensor:
    """Some at half the resolution and with noise, as an early estimate of a picture looks."""
    chosen = (draw.uniform() < how.blurred)[:, None, None, None, None].to(pairs.device)
    noise = draw.normal(1, 3, *pairs.shape[-2:]).to(pairs) * how.noise
    folded = pairs.flatten(0, 1)
    smooth = functional.interpolate(functional.avg_pool2d(folded, 2), folded.shape[2:], mode="bilinear")
    return torch.where(chosen, smooth.view_as(pairs) + noise, pairs)


def _around(draw: Draw, limit: float, *shape: int) -> Tensor:
    return (draw.uniform(*shape) * 2 - 1) * limit
