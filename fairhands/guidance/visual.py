"""Visual guidance in its fast form: the critic's gradient with respect to the clean estimate.

MGHanD (arXiv 2503.08133) lowers the discriminator's loss on the estimated clean picture inside the hand mask M. The
fast form leaves the Jacobian of the denoiser out (MPGD, arXiv 2311.16424):

    denoised -= M * w * s(sigma) * g / rms(g),    g = d loss / d denoised
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from ..critic.network import Critic
from ..hands.crops import square_crops
from ..hands.detector import HandDetector
from ..hands.hand import Box, Hand, share_covered
from ..hands.regions import regions
from .cumulative_mask import CumulativeMask
from .schedule import Window, step_size
from .trace import ImageRecord, StepRecord, Trace, describe_hands

# Latents [1, C, h, w] as the sampler sees them -> picture [1, 3, H, W], 0..1, differentiable.
Decode = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class VisualGuidance:
    """One sampling run's visual guidance; call it with each clean estimate.

    `w`: strength; 0 only follows the hands and returns every estimate as it came.
    `mask` and `trace` hold what the run leaves.
    """

    critic: Critic
    decode: Decode
    detector: HandDetector
    mask: CumulativeMask
    w: float
    window: Window = field(default_factory=Window)
    trace: Trace = field(default_factory=Trace)

    def __call__(self, denoised: torch.Tensor, sigma: float, timestep: float, noise_share: float) -> torch.Tensor:
        """The guided estimate; latents `[B, C, h, w]` in and out, same dtype and device.

        `sigma`, `timestep` and `noise_share` (see `step_size`) are the step's. Outside the window the very tensor
        comes back; outside the mask every value is kept bit for bit.
        """
        if not self.window.contains(timestep):
            return denoised
        step = StepRecord(timestep, sigma, step_size(self.w, noise_share))
        with torch.inference_mode(False), torch.enable_grad():
            updates = [self._update(denoised[image : image + 1], image, step) for image in range(len(denoised))]
        self.trace.steps.append(step)
        if not any(record.guided for record in step.images):
            return denoised
        return denoised - torch.cat(updates).to(denoised)

    def _update(self, denoised: torch.Tensor, image: int, step: StepRecord) -> torch.Tensor:
        """What to take off one image's estimate, `[1, C, h, w]`; writes the image's record."""
        estimate = denoised.detach().clone().float().requires_grad_()
        with _timed(step, "decode", estimate):
            picture = self.decode(estimate)
        with _timed(step, "detect", estimate):
            hands = self._find_hands(picture, image)
        record = ImageRecord(describe_hands(hands), self.mask.area(image))
        step.images.append(record)
        boxes = critic_boxes(hands, self.mask.picture[image])
        if not boxes:
            record.note = "no hand, empty mask"
        elif self.w == 0:
            record.note = "w is 0"
        if record.note:
            return torch.zeros_like(denoised)
        with _timed(step, "gradient", estimate):
            gradient = self._gradient(estimate, picture, boxes, record)
        latent_mask = self.mask.latent(image, *estimate.shape[-2:]).to(estimate)
        return self._step(gradient, latent_mask, step.step_size, record)

    def _find_hands(self, picture: torch.Tensor, image: int) -> list[Hand]:
        """Hands in the decoded estimate, joined to the cumulative mask."""
        hands = self.detector.detect_batch(picture.detach().permute(0, 2, 3, 1))[0]
        self.mask.add(image, hands)
        return hands

    def _gradient(
        self, estimate: torch.Tensor, picture: torch.Tensor, boxes: Sequence[Box], record: ImageRecord
    ) -> torch.Tensor:
        """d loss / d estimate, the loss being the critic's mean over the crops."""
        crops = square_crops(picture[0], boxes, self.critic.input_size, self.critic.config.margin)
        loss = self.critic.loss(self.critic(crops)).mean()
        record.loss = float(loss.detach())
        return torch.autograd.grad(loss, estimate)[0]

    def _step(
        self, gradient: torch.Tensor, latent_mask: torch.Tensor, size: float, record: ImageRecord
    ) -> torch.Tensor:
        """The masked step, its gradient scaled to unit root mean square over the mask."""
        if not torch.isfinite(gradient).all():
            record.note = "the critic's gradient is not finite"
            return torch.zeros_like(gradient)
        weight = latent_mask.sum() * gradient.shape[1]
        rms = ((latent_mask * gradient**2).sum() / weight).sqrt()
        record.gradient_rms = float(rms)
        # Also not above zero where the mask is empty at latent size: 0 / 0.
        if not record.gradient_rms > 0.0:
            record.note = "the critic's gradient is zero"
            return torch.zeros_like(gradient)
        return size * latent_mask * gradient / rms


def critic_boxes(hands: Sequence[Hand], mask: torch.Tensor) -> list[Box]:
    """Where the critic looks: the hands found now, and each part of the mask `[H, W]` in which none was found."""
    boxes = [hand.box for hand in hands]
    alone = [part for part in regions(mask) if all(share_covered(box, part) < 0.5 for box in boxes)]
    return boxes + alone


@contextmanager
def _timed(step: StepRecord, part: str, tensor: torch.Tensor) -> Iterator[None]:
    """Add the seconds of the body to the step's record, the device's queued work included."""
    start = _now(tensor)
    yield
    step.seconds[part] = step.seconds.get(part, 0.0) + _now(tensor) - start


def _now(tensor: torch.Tensor) -> float:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()
