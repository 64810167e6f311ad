"""Visual guidance: the critic's gradient inside the hand mask.

MGHanD (arXiv 2503.08133) lowers the discriminator's loss l on the estimated clean picture inside the hand mask M:

    exact:  denoised -= M * w * s(sigma) * dl/dx          through critic, decoder and denoiser (arXiv 2302.07121)
    fast:   denoised -= M * w * s(sigma) * dl/ddenoised   the denoiser's Jacobian left out (arXiv 2311.16424)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from ..critic.network import Critic
from ..hands.crops import square_crops
from .decoders import Decoder
from .normalisation import Normalisation, masked_rms, step_length
from .schedule import Moment, Schedule
from .trace import ImageRecord
from .windows import LatentWindow, Region, batches, window_around

Mode = Literal["fast", "exact"]

WINDOWS_AT_ONCE = 8


@dataclass(frozen=True)
class VisualSettings:
    """How visual guidance moves the estimate.

    `w`: strength. `weigh_by_score`: each hand's loss counts as much as the detector is sure of it, else all alike.
    `measure_effect`: ask the critic again after the step, for the trace alone; it costs another decoding.
    Raises ValueError for an unknown mode or normalisation.
    """

    w: float
    mode: Mode = "fast"
    schedule: Schedule = field(default_factory=Schedule)
    normalisation: Normalisation = "unit"
    weigh_by_score: bool = False
    measure_effect: bool = False

    def __post_init__(self) -> None:
        for name, known in (("mode", get_args(Mode)), ("normalisation", get_args(Normalisation))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}.")

    def strength(self, moment: Moment) -> float:
        """What a normalised gradient is multiplied with at a step in the window."""
        return self.w * self.schedule.at(moment)


@dataclass(frozen=True)
class CriticLoss:
    """The critic's loss of the hands in clean estimates, and its gradient.

    `text`: embedding `[1, D]` of the prompt, for a critic that was trained with texts; None judges without one.
    """

    critic: Critic
    decoder: Decoder
    text: Tensor | None = None

    def gradient(self, estimates: Tensor, regions: Sequence[Sequence[Region]]) -> tuple[Tensor, list[float | None]]:
        """d loss / d estimate, and the loss, of each image.

        Args:
            estimates: latents `[B, C, h, w]` as the sampler sees them.
            regions: for each image, the places that the critic judges.

        Returns:
            `[B, C, h, w]`, float32 (float64 where the estimates are), zero for images without a region; the losses,
            each a mean over its regions that weighs them, None without a region.
        """
        losses: list[float | None] = [0.0 if some else None for some in regions]
        with torch.inference_mode(False), torch.enable_grad():
            leaf = _in_full_precision(estimates.detach().clone()).requires_grad_()
            gradient = torch.zeros_like(leaf, requires_grad=False)
            for images, shares in self._batches(leaf, regions):
                (part,) = torch.autograd.grad(shares.sum(), leaf)
                gradient += part
                for image, share in zip(images, shares.tolist(), strict=True):
                    losses[image] = (losses[image] or 0.0) + share
        return gradient, losses

    @torch.no_grad()
    def losses(self, estimates: Tensor, regions: Sequence[Sequence[Region]]) -> list[float | None]:
        """The losses alone."""
        losses: list[float | None] = [0.0 if some else None for some in regions]
        for images, shares in self._batches(_in_full_precision(estimates), regions):
            for image, share in zip(images, shares.tolist(), strict=True):
                losses[image] = (losses[image] or 0.0) + share
        return losses

    def _batches(self, latents: Tensor, regions: Sequence[Sequence[Region]]) -> Iterator[tuple[list[int], Tensor]]:
        """For each batch of windows: the images of the regions in them, and these regions' shares of their losses."""
        views = self._views(regions, *latents.shape[-2:])
        totals = [sum(region.weight for region in some) for some in regions]
        places = list(views)
        for group in batches([window for _, window in places], WINDOWS_AT_ONCE):
            chosen = [places[number] for number in group]
            pictures = self.decoder(torch.stack([_cut(latents[image], window) for image, window in chosen]))
            crops = [
                self._crops(picture, window, views[image, window])
                for picture, (image, window) in zip(pictures, chosen, strict=True)
            ]
            losses = self.critic.loss(self.critic(torch.cat(crops), self.text))
            judged = [(image, region.weight) for image, window in chosen for region in views[image, window]]
            weights = [weight / totals[image] for image, weight in judged]
            yield [image for image, _ in judged], losses * losses.new_tensor(weights)

    def _views(
        self, regions: Sequence[Sequence[Region]], height: int, width: int
    ) -> dict[tuple[int, LatentWindow], list[Region]]:
        """The windows to decode, each with its image and all of that image's regions that it is for."""
        views: dict[tuple[int, LatentWindow], list[Region]] = {}
        for image, some in enumerate(regions):
            for region in some:
                window = window_around(region.box, self.critic.config.margin, self.decoder.scale, height, width)
                views.setdefault((image, window), []).append(region)
        return views

    def _crops(self, picture: Tensor, window: LatentWindow, regions: Sequence[Region]) -> Tensor:
        """The critic's crops `[N, 3, S, S]` of regions in the picture of a window."""
        boxes = [window.shifted(region.box, self.decoder.scale) for region in regions]
        return square_crops(picture, boxes, self.critic.input_size, self.critic.config.margin)


def _in_full_precision(latents: Tensor) -> Tensor:
    return latents.to(torch.promote_types(latents.dtype, torch.float32))


def _cut(latent: Tensor, window: LatentWindow) -> Tensor:
    return latent[:, window.top : window.top + window.height, window.left : window.left + window.width]


def visual_step(
    gradient: Tensor,
    mask: Tensor,
    settings: VisualSettings,
    moment: Moment,
    cfg_difference: Tensor | None,
    record: ImageRecord,
) -> Tensor:
    """What to take off one image's estimate; writes the record.

    Args:
        gradient: of the critic's loss, `[C, h, w]`.
        mask: M at latent size, `[h, w]`, 0..1.
        settings: strength, schedule and normalisation.
        moment: the step's.
        cfg_difference: cfg scale * (cond - uncond), `[C, h, w]`, or None.
        record: of this image.
    """
    if not torch.isfinite(gradient).all():
        record.note = "the critic's gradient is not finite"
        return torch.zeros_like(gradient)
    record.gradient_rms = rms = masked_rms(gradient, mask)
    # Also zero where the mask is empty at latent size.
    if rms == 0:
        record.note = "the critic's gradient is zero"
        return torch.zeros_like(gradient)
    cfg_rms = None if cfg_difference is None else masked_rms(cfg_difference.float(), mask)
    length = settings.strength(moment) * step_length(settings.normalisation, rms, cfg_rms)
    record.step_rms = abs(length) * rms
    return length * mask * gradient
