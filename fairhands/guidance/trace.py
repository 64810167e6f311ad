"""What guidance did at each step, as numbers that can be read, plotted and saved."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..hands.hand import Hand


@dataclass
class ImageRecord:
    """One image of the batch at one step.

    `hands`: what the detector found; `left_out`: hands not masked because the mask would be too large; `fallback`:
    what gave the mask where nothing was found. `loss`: the critic's before the step, `loss_after` after it, where that
    was measured; `gradient_rms` over the mask, `step_rms` of the visual step made of it (the gradient normalised, times
    strength and schedule); None where the critic was not asked. `difference_rms`: of the prediction with the hand LoRA
    to the one without, over the mask; None without. `note`: why guidance left the image alone.
    """

    hands: list[dict[str, object]] = field(default_factory=list)
    mask_area: float = 0.0
    left_out: int = 0
    fallback: str = ""
    loss: float | None = None
    loss_after: float | None = None
    gradient_rms: float | None = None
    step_rms: float | None = None
    difference_rms: float | None = None
    note: str = ""

    @property
    def guided(self) -> bool:
        """Whether guidance moved this image."""
        return self.step_rms is not None or bool(self.difference_rms)


@dataclass
class StepRecord:
    """One call of the model inside a guidance window; `seconds` by part of the step.

    `visual_strength` and `lora_strength`: w and v times their schedules, 0 where the step is not theirs.
    """

    timestep: float
    sigma: float
    visual_strength: float = 0.0
    lora_strength: float = 0.0
    images: list[ImageRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Trace:
    """All steps of one sampling run, with the settings that it ran with.

    `mask`: the final cumulative mask, float32 `[B, H, W]`, 0..1; None before a run. It is not part of the JSON.
    """

    settings: dict[str, object] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    mask: torch.Tensor | None = None

    def clear(self) -> None:
        """Forget the last run; lists that were given out stay as they are."""
        self.settings, self.steps, self.mask = {}, [], None

    def to_json(self) -> str:
        """Every number of the trace as JSON, which knows no NaN or infinity: they become null."""
        numbers = {"settings": self.settings, "steps": [asdict(step) for step in self.steps]}
        return json.dumps(_finite(numbers), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_hands(hands: Sequence[Hand]) -> list[dict[str, object]]:
    """Hands as plain values: box `[x, y, width, height]` in pixels, score 0..1, side."""
    return [
        {"box": [round(float(value), 1) for value in hand.box], "score": round(hand.score, 4), "side": hand.side}
        for hand in hands
    ]
