"""When guidance acts, and how large its step is."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

FIRST_TIMESTEP, LAST_TIMESTEP = 650.0, 150.0
# Size of a step at w = 1 where a curve is 1, in standard deviations of the latent.
UNIT_STEP = 0.1

Curve = Literal["noise", "constant", "sigma2", "cosine"]


@dataclass(frozen=True)
class Moment:
    """Where on the way from noise to picture a step is.

    `sigma`: as the sampler counts it. `timestep`: training timestep, 0..1000; of a flow model 1000 t.
    `noise_share`: standard deviation of the noise in an input of unit variance, 0..1: sqrt(1 - abar), or t of a flow
    model. `signal`: what the clean latent is multiplied with in the sampler's x: 1, or 1 - t of a flow model.
    """

    sigma: float
    timestep: float
    noise_share: float
    signal: float = 1.0

    @property
    def noise_to_signal(self) -> float:
        """Sigma of x / signal, in which every model is variance-exploding."""
        return self.sigma / max(self.signal, 1e-3)


@dataclass(frozen=True)
class Window:
    """The training timesteps (0..1000, noisy to clean) at which guidance acts; both ends belong to it.

    Raises ValueError where `first` is smaller than `last`.
    """

    first: float = FIRST_TIMESTEP
    last: float = LAST_TIMESTEP

    def __post_init__(self) -> None:
        if self.first < self.last:
            raise ValueError(
                f"first timestep is {self.first:g} and last timestep is {self.last:g}: sampling goes from noisy (999) "
                "to clean (0), so the first must be the larger one; exchange them."
            )

    def contains(self, timestep: float) -> bool:
        """Whether guidance acts at that timestep."""
        return self.last <= timestep <= self.first


@dataclass(frozen=True)
class Schedule:
    """How strong guidance is at each step: a window, a curve over it, and how many steps of it are left out.

    `curve`: `noise`, the share of noise in the input; `constant`, 1; `sigma2`, the noise's variance in units of the
    signal's (Universal Guidance, arXiv 2302.07121, eq. 6, where gradients are not normalised); `cosine`, from 1 at the
    window's beginning to 0 at its end. `every`: only each n-th step in the window is guided.
    Raises ValueError for an unknown curve and for `every` below 1.
    """

    window: Window = Window()
    curve: Curve = "noise"
    every: int = 1

    def __post_init__(self) -> None:
        if self.curve not in get_args(Curve):
            raise ValueError(f"schedule is {self.curve!r}, expected one of {', '.join(get_args(Curve))}.")
        if self.every < 1:
            raise ValueError(f"every is {self.every}, expected 1 or more.")

    def at(self, moment: Moment) -> float:
        """The curve's value at a step inside the window."""
        if self.curve == "constant":
            return 1.0
        if self.curve == "noise":
            return moment.noise_share
        if self.curve == "sigma2":
            return moment.noise_to_signal**2
        passed = (self.window.first - moment.timestep) / max(self.window.first - self.window.last, 1e-9)
        return 0.5 + 0.5 * math.cos(math.pi * min(max(passed, 0.0), 1.0))
