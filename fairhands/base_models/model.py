"""The interface of a base model, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .process import Process


@dataclass(frozen=True, eq=False)
class Text:
    """Encoded prompts: tensors with a row for each.

    Args:
        states: for each token, [N, T, C].
        pooled: of the whole prompt, [N, P]; None in families without.
        sizes: SDXL's further conditions, [N, 6]: height and width of the original, top and left of its crop, height
            and width of the picture; None in other families.
    """

    states: Tensor
    pooled: Tensor | None = None
    sizes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> Text:
        """Some of the prompts."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Text:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def repeated(self, count: int) -> Text:
        """One prompt, `count` times; that many prompts as they are.

        Raises:
            ValueError: the prompts are neither one nor `count`.
        """
        if len(self) not in (1, count):
            raise ValueError(f"expected 1 prompt or {count}, found {len(self)}")
        return self if len(self) == count else self._each(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    @classmethod
    def joined(cls, texts: Iterable[Text]) -> Text:
        """The prompts of several, all of one family."""
        texts = list(texts)
        pooled = [text.pooled for text in texts if text.pooled is not None]
        sizes = [text.sizes for text in texts if text.sizes is not None]
        states = torch.cat([text.states for text in texts])
        return cls(states, torch.cat(pooled) if pooled else None, torch.cat(sizes) if sizes else None)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Text:
        pooled = None if self.pooled is None else change(self.pooled)
        return Text(change(self.states), pooled, None if self.sizes is None else change(self.sizes))


@dataclass(frozen=True, eq=False)
class Added:
    """What a network beside a U-Net adds to what is computed in it.

    Args:
        skips: a ControlNet's, one for each skip connection from its encoder to its decoder, in the encoder's order.
        middle: a ControlNet's, after the middle block.
        features: a T2I-Adapter's, one for each block of the encoder and perhaps one for the middle block.
    """

    skips: tuple[Tensor, ...] = ()
    middle: Tensor | None = None
    features: tuple[Tensor, ...] = ()


Predict = Callable[[Tensor, Tensor, Text], Tensor]
"""Gives a prediction as `BaseModel.predict` does: of noised latents, their times and texts."""


class BaseModel(ABC):
    """A text-to-picture diffusion model: what is sampled with, guided, and adapted.

    Pictures are float [N, 3, H, W] in 0..1 with sides that are multiples of `side_step`; latents, noise and
    predictions are float32 [N, latent_channels, H / 8, W / 8] of about unit variance; times are float [N] in 0..1,
    for SD the training timestep / 1000, for flow matching the noise level. All are on `device`.

    The networks are in evaluation mode and their weights want no gradients, but they carry gradients to what they
    are given, and a trainer may unfreeze or wrap `denoiser` and `text_encoders`.

    Args:
        denoiser: the network that predicts.
        process: how it adds noise.
        device: where the networks are.
        dtype: of the denoiser's weights.
    """

    family: ClassVar[str]
    resolution: ClassVar[int]
    """Side of the square pictures that it was trained on."""
    cells: ClassVar[int] = 8
    """Pixels on the side of a latent cell."""
    side_step: ClassVar[int] = 8

    def __init__(self, denoiser: nn.Module, process: Process, device: torch.device, dtype: torch.dtype) -> None:
        self.denoiser = denoiser
        self.process = process
        self.device = device
        self.dtype = dtype
        self.text_encoders: tuple[nn.Module, ...] = ()

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of its latents."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Text:
        """The prompts as the denoiser reads them.

        Args:
            prompts: N of them.
            size: height and width of the pictures that they are for, where the family asks; None: the resolution.
        """

    @abstractmethod
    def encode(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pictures to latents: drawn with the generator where the autoencoder gives a distribution, else its mean.

        Raises:
            ValueError: the pictures' sides are no multiples of `side_step`.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents to pictures."""

    @abstractmethod
    def predict(self, noised: Tensor, times: Tensor, text: Text, added: Added | None = None) -> Tensor:
        """The network's own prediction, whose right answer is `target`.

        Args:
            noised: latents with noise.
            times: of each.
            text: a prompt for each.
            added: what a ControlNet or T2I-Adapter adds, of any floating point type; None: nothing.

        Raises:
            ValueError: something is added in a family without a place for it.
        """

    def noised(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Latents with noise."""
        return self.process.noised(latents, noise, times)

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network is trained to predict of `noised(latents, noise, times)`."""
        return self.process.target(latents, noise, times)

    def clean(self, noised: Tensor, times: Tensor, prediction: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        return self.process.clean(noised, times, prediction)

    @torch.no_grad()
    def sample(
        self,
        text: Text,
        negative: Text | None,
        noise: Tensor,
        steps: int = 30,
        guidance: float = 5.0,
        predict: Predict | None = None,
    ) -> Tensor:
        """Clean latents from noise by deterministic steps (DDIM with eta 0, or Euler where flow is matched).

        Args:
            text: N prompts, or one for all.
            negative: what classifier-free guidance leads away from, as many; None for no guidance.
            noise: [N, latent_channels, h, w] of unit variance.
            steps: how many.
            guidance: its scale; 1 is none.
            predict: gives the predictions, of 2 N latents at once where there is guidance, those with the prompts
                first; None: the model's own.
        """
        predict = predict or self.predict
        times = self.process.times(steps)
        latents = noise.float()
        for number, time in enumerate(times):
            at = latents.new_full((len(latents),), time)
            after = latents.new_full((len(latents),), times[number + 1]) if number + 1 < steps else None
            latents = self.process.step(latents, at, guided(predict, latents, at, text, negative, guidance), after)
        return latents

    def _check(self, pictures: Tensor) -> None:
        height, width = pictures.shape[-2:]
        if height % self.side_step or width % self.side_step:
            raise ValueError(
                f"pictures for {self.family} should have sides that are multiples of {self.side_step} pixels, "
                f"found {width} x {height}"
            )


def guided(
    predict: Predict, noised: Tensor, times: Tensor, text: Text, negative: Text | None, guidance: float
) -> Tensor:
    """A prediction with classifier-free guidance; arguments as for `BaseModel.sample`."""
    count = len(noised)
    if negative is None or guidance == 1:
        return predict(noised, times, text.repeated(count))
    texts = Text.joined([text.repeated(count), negative.repeated(count)])
    wanted, away = predict(torch.cat([noised, noised]), torch.cat([times, times]), texts).chunk(2)
    return away + guidance * (wanted - away)
