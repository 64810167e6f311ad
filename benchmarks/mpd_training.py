"""A step of the MPD LoRA's training at the full sizes of SD 1.5 and SDXL, in random weights: seconds and memory.

Pictures of 256 pixels on a processor, of the family's own size on a GPU; one picture a step, with a face and a hand.
"""

import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.fairness.objectives import Objectives
from fairhands.fairness.settings import FairnessSettings, ObjectiveSettings, new_fair_backward
from fairhands.people.batch import Batch

from .full_size import SD15_CASE, SDXL_CASE, Case, random_base, random_text
from .memory import peak_bytes
from .pairs import timed

ROUNDS, REFRESH_EVERY = 3, 4
GIGABYTE = 1 << 30
TIME = 0.4
FACE, HAND = 8, 4  # cells on a side at 256 pixels: a sixteenth of the picture, and a sixty-fourth


@dataclass(frozen=True)
class Way:
    """How a step is made. `steps` of them are timed together."""

    fairness: FairnessSettings
    checkpointing: bool = False
    steps: int = 1


PLAIN = FairnessSettings(strategy="sum", refresh_every=0)
CHECKPOINTED = {
    "plain_checkpointed": Way(PLAIN, checkpointing=True),
    "mpd_checkpointed_batched": Way(FairnessSettings(batched=True), checkpointing=True),
}
WAYS = {
    "plain": Way(PLAIN),
    "mpd": Way(FairnessSettings()),
    "mpd_refresh4": Way(FairnessSettings(refresh_every=REFRESH_EVERY), steps=REFRESH_EVERY),
    **CHECKPOINTED,
}


@dataclass(frozen=True)
class Part:
    """What is measured in a process of its own."""

    case: Case
    rank: int
    ways: dict[str, Way]

    @property
    def name(self) -> str:
        """In the figures' names."""
        return f"mpd_training_{self.case.name}_rank{self.rank}"


def run() -> dict[str, float]:
    """Seconds of a step, their ratio to a plain step's, and gigabytes of tensors at its peak."""
    figures: dict[str, float] = {}
    for part in _parts():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            figures |= process.submit(_measured, part).result()
    return figures


def _parts() -> list[Part]:
    """The paper's rank 256 needs a GPU's time; a processor computes a smaller one."""
    if torch.cuda.is_available():
        return [Part(SD15_CASE, 64, WAYS), Part(SDXL_CASE, 64, WAYS), Part(SDXL_CASE, 256, WAYS)]
    return [Part(SD15_CASE, 64, WAYS), Part(SDXL_CASE, 64, CHECKPOINTED)]


def _measured(part: Part) -> dict[str, float]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = Training(part, device)
    steps = {name: training.step(way) for name, way in part.ways.items()}
    figures = {f"{part.name}_weights_gigabytes": round(training.held_bytes() / GIGABYTE, 2)}
    for name, step in steps.items():
        step()
        whole = training.held_bytes() + peak_bytes(partial(_repeat, step, part.ways[name].steps), device)
        figures[f"{part.name}_{name}_gigabytes"] = round(whole / GIGABYTE, 2)
    seconds = _seconds(part, steps)
    for name, taken in seconds.items():
        plain = seconds["plain_checkpointed" if part.ways[name].checkpointing else "plain"]
        figures[f"{part.name}_{name}_seconds"] = round(taken, 3)
        figures[f"{part.name}_{name}_ratio"] = round(taken / plain, 3)
    return figures


def _repeat(step: Callable[[], None], count: int) -> None:
    for _ in range(count):
        step()


def _seconds(part: Part, steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Of each way's step, the ways in turn: the machine's speed drifts."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            count = part.ways[name].steps
            found[name].append(timed(step, count)() / count)
    return {name: statistics.median(several) for name, several in found.items()}


class Training:
    """A LoRA on a random base, and one example with a face and a hand."""

    def __init__(self, part: Part, device: torch.device) -> None:
        torch.manual_seed(0)
        self.base = random_base(part.case, device)
        self.adapter = LoraAdapter(self.base, LoraSettings(rank=part.rank, alpha=part.rank)).to(device)
        self.weights = list(self.adapter.parameters())
        self.optimiser = torch.optim.AdamW(self.weights, 1e-5)
        self.objectives = Objectives(ObjectiveSettings())
        self.batch = _batch(part.case, device)
        self.noise = torch.randn_like(self.batch.latents)
        self.times = torch.full((1,), TIME, device=device)

    def step(self, way: Way) -> Callable[[], None]:
        """A step of training made that way."""
        backward = new_fair_backward(way.fairness, self.objectives.names)(self.weights)

        def step() -> None:
            self.adapter.use_checkpointing(way.checkpointing)
            self.optimiser.zero_grad()
            batch = self.batch
            assert batch.text is not None
            noised = self.base.noised(batch.latents, self.noise, self.times)
            with torch.autocast(self.base.device.type, torch.bfloat16):
                prediction = self.base.predict(noised, self.times, batch.text)
            backward.add(self.objectives.losses(self.base, batch, self.noise, self.times, prediction), 1.0)
            backward.finish()
            nn.utils.clip_grad_norm_(self.weights, 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()

        return step

    def held_bytes(self) -> int:
        """Of the denoiser, the LoRA in it, and the optimiser's state."""
        states = [value for state in self.optimiser.state.values() for value in state.values()]
        return sum(tensor.nbytes for tensor in (*self.base.denoiser.parameters(), *states))


def _batch(case: Case, device: torch.device) -> Batch:
    side = case.latent_side(device)
    scale = side // 32
    masks = {name: torch.zeros(1, 1, side, side, device=device) for name in ("face", "hand")}
    masks["face"][..., : FACE * scale, : FACE * scale] = 1.0
    masks["hand"][..., -HAND * scale :, -HAND * scale :] = 1.0
    text = random_text(case, device)
    sizes = torch.zeros(1, 6, device=device) if text.sizes is None else text.sizes
    return Batch(torch.randn(1, 4, side, side, device=device), ("a person",), sizes, masks, text)
