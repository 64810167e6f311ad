"""What a MODEL carries of guidance: each guidance node adds its part, and sampling reads the whole."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import comfy.model_patcher
import comfy.model_sampling
import comfy.sd
import torch

from ..fairhands.guidance.cumulative_mask import MaskGrowth
from ..fairhands.guidance.decoders import Decoder
from ..fairhands.guidance.schedule import Window
from ..fairhands.guidance.textual import TextualSettings
from ..fairhands.guidance.trace import Trace
from ..fairhands.guidance.visual import VisualSettings
from ..fairhands.hands.detector import HandDetector
from ..fairhands.hands.masks import MaskStyle
from .lora_branch import HandLora

PLAN = "fairhands_plan"

TIMESTEPS, PERCENT = "timesteps", "percent"


@dataclass(frozen=True)
class WindowInput:
    """A window as an artist gives it: in training timesteps (from noisy 999 to clean 0), or in percent of sampling."""

    first: float
    last: float
    unit: str = TIMESTEPS

    def resolved(self, sampling: Any) -> Window:
        """The window in timesteps of a model's noise schedule.

        Raises:
            ValueError: the ends are exchanged.
        """
        if self.unit == TIMESTEPS:
            return Window(self.first, self.last)
        if self.first > self.last:
            raise ValueError(
                f"first is {self.first:g} % and last is {self.last:g} %: sampling goes from 0 to 100 %, so the first "
                "must be the smaller one; exchange them."
            )
        first, last = (moment_timestep(sampling, self._sigma(sampling, end)) for end in (self.first, self.last))
        return Window(first, last)

    @staticmethod
    def _sigma(sampling: Any, percent: float) -> float:
        # At 0 and 100 ComfyUI gives sigmas beyond all steps, which is what an open end means.
        return float(sampling.percent_to_sigma(percent / 100))


def moment_timestep(sampling: Any, sigma: float) -> float:
    """The training timestep of a sigma, 0..1000, for flow models 1000 t."""
    if is_flow(sampling):
        return 1000 * sigma
    if not isinstance(sampling, comfy.model_sampling.ModelSamplingDiscrete):
        sampling = _usual_schedule()  # EDM and other continuous schedules count no timesteps
    return float(sampling.timestep(torch.tensor([max(sigma, 1e-6)]).clamp(max=1e4))[0]) if sigma > 0 else 0.0


@cache
def _usual_schedule() -> comfy.model_sampling.ModelSamplingDiscrete:
    """The noise schedule of SD1.5 and SDXL."""
    with torch.inference_mode(False):
        return comfy.model_sampling.ModelSamplingDiscrete()


def is_flow(sampling: Any) -> bool:
    """Whether sigma is t of x = (1 - t) latent + t noise."""
    return isinstance(sampling, comfy.model_sampling.CONST)


@dataclass(frozen=True)
class MaskPart:
    """How the mask is found while sampling; `chosen` by a node of its own, else with the usual settings."""

    decoder: Decoder
    decoder_model: comfy.model_patcher.ModelPatcher
    detector: HandDetector
    style: MaskStyle = field(default_factory=lambda: MaskStyle(shape="hull", padding=0.15))
    growth: MaskGrowth = field(default_factory=MaskGrowth)
    every: int = 1
    start: torch.Tensor | None = None
    fallbacks: tuple[str, ...] = ()
    clip: comfy.sd.CLIP | None = None
    hand_words: str = "hands, fingers"
    keep_background: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class VisualPart:
    """Visual guidance with its critic; the window of `settings` is that of `window` once the model is known.

    `text`: the pooled embedding `[1, D]` of a text that the artist gave for the critic.
    """

    discriminator: comfy.model_patcher.ModelPatcher
    settings: VisualSettings
    window: WindowInput
    repeats: int = 1
    text: torch.Tensor | None = None


@dataclass(frozen=True)
class TextualPart:
    """Textual guidance with its LoRA; `conditioning` replaces the prompt in the prediction with the LoRA."""

    lora: HandLora
    name: str
    settings: TextualSettings
    window: WindowInput
    conditioning: list[Any] | None = None


@dataclass(frozen=True)
class Plan:
    """All of it. `trace` is refilled by each sampling run."""

    mask: MaskPart | None = None
    visual: VisualPart | None = None
    textual: TextualPart | None = None
    trace: Trace = field(default_factory=Trace)


def plan_of(model: comfy.model_patcher.ModelPatcher) -> Plan:
    """What a model carries; an empty plan where no guidance node came before, with a trace of its own each time."""
    return model.get_attachment(PLAN) or Plan()


def changed(model: comfy.model_patcher.ModelPatcher, **parts: Any) -> Plan:
    """The model's plan with other parts, and with a trace of its own."""
    return replace(plan_of(model), trace=Trace(), **parts)
