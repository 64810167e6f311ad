"""How base models add noise, and what their networks predict of it.

At each time, from 0 (clean) to 1 (noise), a noised latent is `signal * latent + sigma * noise`, and a network predicts
a fixed mixture of noise and latent: the noise itself, DDPM's velocity, or flow matching's direction.
"""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Predicts = Literal["noise", "velocity"]

TIMESTEPS = 1000


class Mixture(NamedTuple):
    """Shares of a latent and of noise, each float [N, 1, 1, 1]."""

    latent: Tensor
    noise: Tensor

    def of(self, latents: Tensor, noise: Tensor) -> Tensor:
        """The mixture of latents and noise, both [N, C, h, w]."""
        return self.latent * latents + self.noise * noise


class Process(ABC):
    """A way to add noise. Latents, noise and predictions are [N, C, h, w]; times are float [N] in 0..1."""

    @abstractmethod
    def noised_mixture(self, times: Tensor) -> Mixture:
        """Signal and sigma of noised latents."""

    @abstractmethod
    def predicted_mixture(self, noised: Mixture) -> Mixture:
        """What a network predicts of latents that are noised so."""

    @abstractmethod
    def times(self, steps: int) -> list[float]:
        """The times at which sampling in so many steps asks the network, from noise on, without the clean end."""

    def noised(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Latents with noise."""
        return self.noised_mixture(times).of(latents, noise)

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict of `noised(latents, noise, times)`."""
        return self.predicted_mixture(self.noised_mixture(times)).of(latents, noise)

    def clean(self, noised: Tensor, times: Tensor, prediction: Tensor) -> Tensor:
        """The clean latents for which `prediction` would be the target: the two mixtures solved for the latent."""
        have = self.noised_mixture(times)
        told = self.predicted_mixture(have)
        return (told.noise * noised - have.noise * prediction) / (have.latent * told.noise - have.noise * told.latent)

    def step(self, noised: Tensor, times: Tensor, prediction: Tensor, after: Tensor | None) -> Tensor:
        """Latents at the times `after`, None for clean ones, by a deterministic step (DDIM with eta 0, or Euler)."""
        clean = self.clean(noised, times, prediction)
        if after is None:
            return clean
        have = self.noised_mixture(times)
        return self.noised(clean, (noised - have.latent * clean) / have.noise, after)


class Diffusion(Process):
    """DDPM's process in 1000 timesteps; a time is a timestep / 1000, brought to the nearest that was trained.

    Args:
        kept: the share of a latent's variance that is left at each timestep (alphas_cumprod), [1000].
        predicts: "noise" (epsilon) or "velocity" (v = signal noise - sigma latent, arXiv 2202.00512).

    Raises:
        ValueError: nothing is left of the latent at some timestep, and the network is to predict the noise.
    """

    def __init__(self, kept: Tensor, predicts: Predicts) -> None:
        if predicts == "noise" and not (kept > 0).all():
            raise ValueError("a schedule that ends in pure noise needs a network that predicts the velocity")
        self.kept = kept.double()
        self.predicts: Predicts = predicts

    def noised_mixture(self, times: Tensor) -> Mixture:
        timesteps = (times * TIMESTEPS).round().long().clamp(0, len(self.kept) - 1)
        kept = self.kept.to(times.device)[timesteps][:, None, None, None]
        return Mixture(kept.sqrt().float(), (1 - kept).sqrt().float())

    def predicted_mixture(self, noised: Mixture) -> Mixture:
        if self.predicts == "noise":
            return Mixture(torch.zeros_like(noised.latent), torch.ones_like(noised.noise))
        return Mixture(-noised.noise, noised.latent)

    def times(self, steps: int) -> list[float]:
        """Evenly spaced and from the last timestep on ("trailing", arXiv 2305.08891)."""
        last = len(self.kept)
        return [(round(last - number * last / steps) - 1) / TIMESTEPS for number in range(steps)]


class Flow(Process):
    """Flow matching: a noised latent is (1 - t) latent + t noise, the network predicts noise - latent.

    Args:
        shift: of sampling's times toward noise (SD3, arXiv 2403.03206, section 5.3.2).
    """

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def noised_mixture(self, times: Tensor) -> Mixture:
        levels = times.float()[:, None, None, None]
        return Mixture(1 - levels, levels)

    def predicted_mixture(self, noised: Mixture) -> Mixture:
        return Mixture(-torch.ones_like(noised.latent), torch.ones_like(noised.noise))

    def times(self, steps: int) -> list[float]:
        even = [1 - number / steps for number in range(steps)]
        return [self.shift * time / (1 + (self.shift - 1) * time) for time in even]
