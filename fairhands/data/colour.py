"""Colours of the mannequin pictures: RGB `[3]`, 0..1."""

import numpy as np
from numpy.random import Generator

from .capsules import Floats, Samples

_SKINS = np.array(
    [[248, 218, 198], [240, 202, 176], [228, 182, 150], [207, 153, 118], [178, 122, 90], [146, 96, 70], [108, 72, 54]]
)


def draw_colour(rng: Generator, avoid: Floats | None = None) -> Floats:
    """A muted random colour, clearly unlike `avoid` if that is given."""
    for _ in range(20):
        hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.05, 0.6), rng.uniform(0.2, 0.95)
        wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        colour = value * (1 - saturation + saturation * wheel)
        if avoid is None or np.linalg.norm(colour - avoid) > 0.38:
            return colour
    return 1.0 - np.asarray(avoid)


def draw_skin(rng: Generator) -> Floats:
    """A skin tone, from light to dark."""
    place = rng.uniform(0, len(_SKINS) - 1)
    tone = [np.interp(place, range(len(_SKINS)), channel) for channel in _SKINS.T]
    return np.clip((np.array(tone) + rng.uniform(-6, 6, 3)) / 255, 0, 1)


def plane(colour: Floats) -> Samples:
    """`colour` as float32 `[3, 1, 1]`, to be mixed with pictures `[3, H, W]`."""
    return colour.astype(np.float32)[:, None, None]
