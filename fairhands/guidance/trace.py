"""What guidance did at each step, as numbers that can be read, plotted and saved."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ..hands.hand import Hand


@dataclass
class ImageRecord:
    """One image of the batch at one step.

    `loss` and `gradient_rms` are None where the critic was not asked; `note` says why the image went unguided.
    """

    hands: list[dict[str, object]]
    mask_area: float
    loss: float | None = None
    gradient_rms: float | None = None
    note: str = ""

    @property
    def guided(self) -> bool:
        """Whether the critic's gradient moved this image."""
        return self.gradient_rms is not None and not self.note


@dataclass
class StepRecord:
    """One call of the model inside the guidance window; `seconds` by part of the step."""

    timestep: float
    sigma: float
    step_size: float
    images: list[ImageRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Trace:
    """All steps of one sampling run, with the settings that it ran with."""

    settings: dict[str, object] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)

    def to_json(self) -> str:
        """The whole trace as JSON."""
        return json.dumps(asdict(self))


def describe_hands(hands: Sequence[Hand]) -> list[dict[str, object]]:
    """Hands as plain values: box `[x, y, width, height]` in pixels, score 0..1, side."""
    return [
        {"box": [round(float(value), 1) for value in hand.box], "score": round(hand.score, 4), "side": hand.side}
        for hand in hands
    ]
