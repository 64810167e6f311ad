"""What is lowered at once: the error of the whole picture, that of each region, and what a preference lacks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..base_models import BaseModel
from ..base_models.process import Process
from ..people.batch import Batch
from .preference import Reward, check_reward, load_reward
from .settings import GLOBAL, PREFERENCE, Normalise, ObjectiveSettings


class Each(NamedTuple):
    """An objective's loss of each of N examples, [N], 0 where it is absent; and whether it is there, bool [N]."""

    losses: Tensor
    present: Tensor

    def mean(self) -> Tensor:
        """The mean over all examples; a plain zero without a graph where the objective is absent from all."""
        return self.losses.mean() if bool(self.present.any()) else torch.zeros(())


class Objectives:
    """FairHuman's objectives (arXiv 2507.02714): the whole picture, its regions, and optionally a preference.

    With the error e = prediction - target at each latent cell, squared and averaged over channels, m the share of the
    cell that belongs to a region, and w the min-SNR weight of the example's time:

        l_global = w mean(e^2),    l_region = w sum(m e^2) / sum(m)    or    w sum(m e^2) / cells

    Args:
        settings: which ones and how.
        reward: what is preferred; None: as the settings name it.

    Raises:
        RewardError: the reward cannot be imported.
    """

    def __init__(self, settings: ObjectiveSettings, reward: Reward | None = None) -> None:
        self.settings = settings
        self.names = settings.names
        path = settings.preference.reward
        self.reward = reward or (load_reward(path) if path else None)

    def check(self, base: BaseModel) -> None:
        """Try the reward, if there is one, on pictures of the base's size.

        Raises:
            RewardError: it cannot be used.
        """
        if self.reward is not None:
            check_reward(self.reward, self.settings.preference.reward, base.resolution, base.device)

    def losses(
        self, base: BaseModel, batch: Batch, noise: Tensor, times: Tensor, prediction: Tensor
    ) -> dict[str, Tensor]:
        """The objectives of a batch: means over all its examples, to which one without the region adds zero.

        Args:
            base: the base model, for its targets and decoder.
            batch: N examples on its device.
            noise: what the latents were noised with, [N, C, h, w].
            times: when, [N] in 0..1.
            prediction: of the network, [N, C, h, w].

        Returns:
            Scalars by name, `torch.zeros(())` for an objective that is absent from the whole batch; and `loss`, their
            sum, for the curve.
        """
        found = {name: each.mean() for name, each in self.each(base, batch, noise, times, prediction).items()}
        return {"loss": sum(found.values(), torch.zeros(())), **found}

    def each(self, base: BaseModel, batch: Batch, noise: Tensor, times: Tensor, prediction: Tensor) -> dict[str, Each]:
        """The objectives of each example; arguments as for `losses`."""
        error = prediction.float() - base.target(batch.latents, noise, times)
        squares = error.square().mean(dim=1, keepdim=True)
        if self.settings.min_snr_gamma:
            weights = min_snr_weights(base.process, times, self.settings.min_snr_gamma)
            squares = squares * weights[:, None, None, None]
        found = {GLOBAL: Each(squares.mean(dim=(1, 2, 3)), torch.ones_like(times, dtype=torch.bool))}
        for region in self.settings.regions:
            found[region] = regional(squares, batch.masks[region], self.settings.normalise)
        if self.reward is not None:
            found[PREFERENCE] = self._preference(self.reward, base, batch, noise, times, prediction)
        return found

    def _preference(
        self, reward: Reward, base: BaseModel, batch: Batch, noise: Tensor, times: Tensor, prediction: Tensor
    ) -> Each:
        """What the clean pictures that the predictions stand for lack, where little enough noise was on them."""
        settings = self.settings.preference
        near = times < settings.below
        losses = torch.zeros_like(times, dtype=torch.float32)
        if not bool(near.any()):
            return Each(losses, near)
        noised = base.noised(batch.latents, noise, times)[near]
        clean = base.clean(noised, times[near], prediction.float()[near])
        # The decoder's activations are the largest of all: one picture's at a time, computed again for the gradient.
        decoded = [checkpoint(base.decode, latent, use_reentrant=False) for latent in clean.split(1)]
        captions = [caption for caption, here in zip(batch.captions, near.tolist(), strict=True) if here]
        rewards = reward(torch.cat(decoded).float(), captions).float()
        lacking = -rewards if settings.margin is None else (settings.margin - rewards).clamp(min=0)
        return Each(losses.masked_scatter(near, settings.scale * lacking), near)


def regional(squares: Tensor, mask: Tensor, normalise: Normalise) -> Each:
    """The loss inside a region.

    Args:
        squares: squared errors, [N, 1, h, w].
        mask: the share of each cell that belongs to the region, [N, 1, h, w] in 0..1.
        normalise: "area": the mean over the region's area; "image": the sum over it in units of the whole picture's.
    """
    area = mask.sum(dim=(1, 2, 3))
    present = area > 0
    whole = area.where(present, 1.0) if normalise == "area" else mask[0].numel()
    return Each((mask * squares).sum(dim=(1, 2, 3)) / whole, present)


def min_snr_weights(process: Process, times: Tensor, gamma: float) -> Tensor:
    """Weights of squared errors at some times, [N] (min-SNR-gamma, arXiv 2303.09556): that of the clean latent counts
    as much as the signal-to-noise ratio says, but no more than gamma.

    A prediction's error is, times c, that of the clean latent that it stands for, so its weight is
    w = min(SNR, gamma) c^2, with SNR = signal^2 / sigma^2:

        noise      c^2 = sigma^2 / signal^2    w = min(SNR, gamma) / SNR
        velocity   c^2 = sigma^2               w = min(SNR, gamma) / (SNR + 1)
        flow       c^2 = t^2                   w = min((1 - t)^2, gamma t^2)

    The last follows from the same rule; the paper, older than flow matching's models, does not name it.
    """
    have = process.noised_mixture(times)
    told = process.predicted_mixture(have)
    to_clean = have.noise / (have.latent * told.noise - have.noise * told.latent)
    ratio = (have.latent / have.noise).square()
    return (ratio.clamp(max=gamma) * to_clean.square()).flatten()
