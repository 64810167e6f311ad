"""The same sampling without guidance, which everything outside of the hands can follow."""

from collections import Counter, defaultdict

import torch
from torch import Tensor


class Background:
    """The clean estimates of an unguided run, kept to stand outside the mask of the guided one.

    A guided step leaves everything outside its mask alone, but at the next step the model answers to the new hand there
    as well. With the unguided estimates in the place of that answer,

        denoised = M guided + (1 - M) unguided,

    the latent outside the mask is the unguided run's throughout, for samplers combine estimates and noise place by
    place; and the hand is drawn to fit what is around it, as in inpainting.
    """

    def __init__(self) -> None:
        self._estimates: dict[float, list[Tensor]] = defaultdict(list)
        self._asked: Counter[float] = Counter()

    def keep(self, denoised: Tensor, sigma: float) -> None:
        """Take an estimate of the unguided run, `[B, C, h, w]`."""
        self._estimates[sigma].append(denoised.detach().clone())

    def behind(self, guided: Tensor, masks: Tensor, sigma: float) -> Tensor:
        """The guided estimates inside their masks and the unguided ones outside.

        Args:
            guided: `[B, C, h, w]`, those of the guided run at the same sigma; where a sampler asks more than once at a
                sigma, in the same order, and a step that it repeats meets the same unguided estimate again.
            masks: at the latents' size, `[B, 1, h, w]` in 0..1.
            sigma: the noise level.

        Raises:
            ValueError: the unguided run had no such sigma.
        """
        kept = self._estimates.get(sigma)
        if kept is None:
            raise ValueError(
                f"keep_background needs a sampler that takes the same steps with guidance and without, found one that "
                f"took another (sigma {sigma:.4g}): choose another sampler, such as euler or dpmpp_2m, or turn "
                "keep_background off."
            )
        unguided = kept[min(self._asked[sigma], len(kept) - 1)]
        self._asked[sigma] += 1
        return torch.lerp(unguided, guided, masks.to(guided))
