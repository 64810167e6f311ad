"""One guided prediction: predict, follow the hands, guide inside their mask."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from .background import Background
from .follow import HandFollower
from .schedule import Moment
from .textual import TextualSettings, textual_step
from .trace import StepRecord, Trace
from .visual import CriticLoss, VisualSettings, visual_step


class Prediction(NamedTuple):
    """What a model predicts for latents `[B, C, h, w]`.

    `denoised`: the clean estimate, after classifier-free guidance. `cfg_difference`: its scale times (cond - uncond),
    None without. `lora_difference`: the estimate with the hand LoRA minus that without, None where it was not asked.
    """

    denoised: Tensor
    cfg_difference: Tensor | None = None
    lora_difference: Tensor | None = None


# Latents, and whether the hand LoRA's difference is wanted.
Predict = Callable[[Tensor, bool], Prediction]

Settings = TypeVar("Settings", VisualSettings, TextualSettings)


@dataclass
class GuidedPrediction:
    """The guidance of one sampling run; called in place of the model's prediction.

    `visual` and `textual` are None where that part is not used, `background` where the model may answer to the hand
    outside of its mask as well. `trace` and `follower.mask` hold what the run leaves.
    """

    follower: HandFollower
    trace: Trace
    visual: VisualSettings | None = None
    critic_loss: CriticLoss | None = None
    textual: TextualSettings | None = None
    background: Background | None = None
    _visual_timesteps: list[float] = field(default_factory=list)
    _textual_timesteps: list[float] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)

    def guides(self, timestep: float) -> bool:
        """Whether a window lies open at a timestep."""
        settings = (self.visual, self.textual)
        return any(some is not None and some.schedule.window.contains(timestep) for some in settings)

    def __call__(self, predict: Predict, x: Tensor, moment: Moment) -> Tensor:
        """The guided estimate for the sampler's `x` `[B, C, h, w]`, same dtype and device.

        Outside the windows, and at strength 0, this is the model's very estimate; outside the mask every value is
        kept bit for bit. With a background it is the background's there, at every step.
        """
        guided = self._guided(predict, x, moment)
        if self.background is None:
            return guided
        return self.background.behind(guided, self._latent_masks(guided), moment.sigma)

    def _guided(self, predict: Predict, x: Tensor, moment: Moment) -> Tensor:
        if not self.guides(moment.timestep):
            return predict(x, False).denoised
        self._seconds = {}
        visual = _in_turn(self.visual, moment, self._visual_timesteps)
        textual = _in_turn(self.textual, moment, self._textual_timesteps)
        step = StepRecord(moment.timestep, moment.sigma, seconds=self._seconds)
        step.visual_strength = visual.strength(moment) if visual else 0.0
        step.lora_strength = textual.strength(moment) if textual else 0.0
        exact = step.visual_strength != 0 and visual is not None and visual.mode == "exact"
        leaf, prediction = self._predict(predict, x, step.lora_strength != 0, exact)
        denoised = prediction.denoised.detach() if prediction.denoised.requires_grad else prediction.denoised
        with _timed(self._seconds, "detect", denoised):
            step.images = self.follower(denoised) if visual or textual else self.follower.unchanged()
        self.trace.steps.append(step)
        masks = self._latent_masks(denoised)
        guided = denoised
        if visual is not None and step.visual_strength != 0:
            gradient = self._gradient(visual, prediction, leaf, moment, step)
            change = self._visual_steps(gradient, masks, visual, moment, prediction, step)
            guided = _changed_inside(masks, guided, -change)
            if visual.measure_effect:
                self._measure(guided, visual, step)
        elif visual is not None and visual.w == 0:
            _note(step, "w is 0")
        if prediction.lora_difference is not None and step.lora_strength != 0:
            guided = _changed_inside(masks, guided, _textual_steps(prediction.lora_difference, masks, step))
        return guided if any(record.guided for record in step.images) else denoised

    def _predict(self, predict: Predict, x: Tensor, with_lora: bool, exact: bool) -> tuple[Tensor, Prediction]:
        """The prediction and what it was made of, with the way back to it where guidance is exact."""
        with _timed(self._seconds, "predict", x):
            if not exact:
                return x, predict(x, with_lora)
            with torch.inference_mode(False), torch.enable_grad():
                leaf = x.detach().clone().requires_grad_()
                return leaf, predict(leaf, with_lora)

    def _gradient(
        self, visual: VisualSettings, prediction: Prediction, leaf: Tensor, moment: Moment, step: StepRecord
    ) -> Tensor:
        """The gradient of the critic's loss, `[B, C, h, w]`: to the estimate, or through the denoiser to x."""
        assert self.critic_loss is not None
        places = [self.follower.regions(image, visual.weigh_by_score) for image in range(len(step.images))]
        with _timed(self._seconds, "critic", leaf):
            gradient, losses = self.critic_loss.gradient(prediction.denoised, places)
        for record, loss in zip(step.images, losses, strict=True):
            record.loss = loss
            if loss is None:
                record.note = "no hand, empty mask"
        if visual.mode == "fast" or not gradient.any():
            return gradient
        with _timed(self._seconds, "backward", leaf):
            through = _through_denoiser(gradient, prediction.denoised, leaf)
        # In the coordinates x / signal every model is variance-exploding, and sigma^2 means what it says.
        return through * moment.signal

    def _visual_steps(
        self,
        gradient: Tensor,
        masks: Tensor,
        visual: VisualSettings,
        moment: Moment,
        prediction: Prediction,
        step: StepRecord,
    ) -> Tensor:
        """What to take off the estimates; nothing off those that have a note."""
        cfg = prediction.cfg_difference
        steps = [
            torch.zeros_like(gradient[image])
            if record.note
            else visual_step(
                gradient[image],
                masks[image, 0].to(gradient),
                visual,
                moment,
                None if cfg is None else cfg[image].detach(),
                record,
            )
            for image, record in enumerate(step.images)
        ]
        return torch.stack(steps)

    def _measure(self, guided: Tensor, visual: VisualSettings, step: StepRecord) -> None:
        assert self.critic_loss is not None
        places = [self.follower.regions(image, visual.weigh_by_score) for image in range(len(step.images))]
        with _timed(self._seconds, "measure effect", guided):
            losses = self.critic_loss.losses(guided, places)
        for record, loss in zip(step.images, losses, strict=True):
            record.loss_after = loss

    def _latent_masks(self, latents: Tensor) -> Tensor:
        """The mask of each image at the size of latents, `[B, 1, h, w]`, float32, on their device."""
        masks = [self.follower.mask.latent(image, *latents.shape[-2:]) for image in range(len(latents))]
        return torch.stack(masks)[:, None].to(latents.device)


def _in_turn(settings: Settings | None, moment: Moment, timesteps: list[float]) -> Settings | None:
    """The settings where a step is theirs: in their window, and one of each n there; a repeated step counts once.

    `timesteps`: those in the window so far; this one joins them.
    """
    if settings is None or not settings.schedule.window.contains(moment.timestep):
        return None
    if moment.timestep not in timesteps[-1:]:
        timesteps.append(moment.timestep)
    return settings if (len(timesteps) - 1) % settings.schedule.every == 0 else None


def _through_denoiser(gradient: Tensor, denoised: Tensor, x: Tensor) -> Tensor:
    """The gradient to the estimate `[B, C, h, w]`, taken back to `x`; as it is for an image where it is not finite."""
    with torch.inference_mode(False):
        finite = gradient.isfinite().all(dim=(1, 2, 3), keepdim=True)
        size = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
        # At its own size it would vanish in a model of half precision.
        size = torch.where(finite & (size > 0), size, 1.0)
        outward = torch.where(finite, gradient / size, 0.0)
        (through,) = torch.autograd.grad(denoised, x, outward.to(denoised))
        return torch.where(finite, through.to(gradient) * size, gradient)


def _textual_steps(difference: Tensor, masks: Tensor, step: StepRecord) -> Tensor:
    """What to add to the estimates."""
    difference = difference.detach().to(torch.promote_types(difference.dtype, torch.float32))
    steps = [
        textual_step(difference[image], masks[image, 0].to(difference), step.lora_strength, record)
        for image, record in enumerate(step.images)
    ]
    return torch.stack(steps)


def _changed_inside(masks: Tensor, estimates: Tensor, change: Tensor) -> Tensor:
    """Estimates with a change where their masks are above 0."""
    return torch.where(masks > 0, (estimates + change).to(estimates), estimates)


def _note(step: StepRecord, note: str) -> None:
    for record in step.images:
        record.note = note


@contextmanager
def _timed(seconds: dict[str, float], part: str, tensor: Tensor) -> Iterator[None]:
    """Add the seconds of the body, the device's queued work included."""
    start = _now(tensor)
    yield
    seconds[part] = seconds.get(part, 0.0) + _now(tensor) - start


def _now(tensor: Tensor) -> float:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()
