"""The loop that trainers share: optimiser, learning rate, mixed precision, moving average, checkpoints, logs."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from . import checkpoint
from .configuration import Configuration

Losses = Mapping[str, Tensor]
"""Scalars by name; `loss` is the one that is lowered, the others are logged beside it."""

Network = TypeVar("Network", bound=nn.Module)

SEEDS = 2**31
LOGGED_EVERY = 20


class LoopSettings(Configuration):
    """How long and how fast a network is trained."""

    steps: int = Field(ge=1, description="How often the weights are changed.")
    batch: int = Field(ge=1, description="Examples looked at in a step.")
    learning_rate: float = Field(gt=0, description="AdamW's learning rate after the warm-up; it falls by a cosine.")
    warm_up: int = Field(default=200, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the moving average of the weights, which is what is kept."
    )
    save_every: int = Field(default=500, ge=1, description="Steps between checkpoints to resume from.")
    sample_every: int = Field(default=1000, ge=1, description="Steps between sheets of sample pictures.")


class Loop(Generic[Network]):
    """Trains one network, from its last checkpoint if there is one; exactly as if it had not been stopped.

    Each step draws from a generator seeded with the seed and the step's number alone, so a resumed training
    sees the examples and the noise that an uninterrupted one would have seen.

    Args:
        network: what is trained, on the device to train on. Its weights are changed in place.
        settings: how long and how fast.
        seed: of examples and noise.
        folder: where checkpoints and logs are kept.
        name: of this network, in files, logs and the progress bar.
    """

    def __init__(self, network: Network, settings: LoopSettings, seed: int, folder: Path, name: str) -> None:
        self.network = network
        self.averaged: Network = deepcopy(network)
        self.averaged.requires_grad_(False)
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.name = name
        self.step = 0
        trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.device = trainable[0].device
        self._optimiser = torch.optim.AdamW(
            trainable, settings.learning_rate, (0.9, 0.99), weight_decay=0.0, fused=True
        )

    def run(self, losses: Callable[[torch.Generator], Losses], sample: Callable[[int], None] | None = None) -> Network:
        """Train to the last step and give the averaged network.

        Args:
            losses: draws a batch with the generator and gives its losses.
            sample: draws pictures of the averaged network; gets the step's number. None where there is nothing to see.
        """
        self._resume()
        log = SummaryWriter(str(self.folder / "logs" / self.name), purge_step=self.step)
        progress = tqdm(total=self.settings.steps, initial=self.step, desc=f"training the {self.name}", unit="step")
        self.network.train()
        try:
            while self.step < self.settings.steps:
                figures = self._advance(losses)
                progress.update()
                if self.step % LOGGED_EVERY == 0:
                    self._log(log, progress, figures)
                if self.step % self.settings.save_every == 0:
                    self._save()
                if sample and self.step % self.settings.sample_every == 0:
                    sample(self.step)
        finally:
            progress.close()
            log.close()
        self._save()
        self.averaged.eval()
        return self.averaged

    def _advance(self, losses: Callable[[torch.Generator], Losses]) -> Losses:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * pace(self.step, self.settings.warm_up, self.settings.steps)
        generator = torch.Generator().manual_seed(self.seed * SEEDS + self.step)
        with torch.autocast(self.device.type, torch.bfloat16):
            figures = losses(generator)
        self._optimiser.zero_grad()
        figures["loss"].backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self.step += 1
        self._average()
        return figures

    @torch.no_grad()
    def _average(self) -> None:
        """Follow the weights, faster in the beginning, when the average still holds the random start."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        own = [value for value in self.averaged.state_dict().values() if value.is_floating_point()]
        new = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        for average, weight in zip(own, new, strict=True):
            average.lerp_(weight, 1 - decay)

    def _log(self, log: SummaryWriter, progress: tqdm, figures: Losses) -> None:
        for name, value in figures.items():
            log.add_scalar(name, value.item(), self.step)
        log.add_scalar("learning_rate", self._optimiser.param_groups[0]["lr"], self.step)
        progress.set_postfix(loss=f"{figures['loss'].item():.4f}", refresh=False)

    def _save(self) -> None:
        checkpoint.save(
            self._checkpoint_file(),
            step=self.step,
            seed=self.seed,
            network=self.network.state_dict(),
            averaged=self.averaged.state_dict(),
            optimiser=self._optimiser.state_dict(),
        )

    def _resume(self) -> None:
        state = checkpoint.load(self._checkpoint_file(), self.device)
        if state is None:
            return
        if state["seed"] != self.seed:
            raise checkpoint.CheckpointError(
                f"{self._checkpoint_file()} was trained with seed {state['seed']}, not {self.seed}: give that seed, "
                "or another output folder."
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def _checkpoint_file(self) -> Path:
        return self.folder / f"{self.name}.checkpoint.pt"


def pace(step: int, warm_up: int, steps: int) -> float:
    """The learning rate's factor: from 0 to 1 over the warm-up, then down to 0 by half a cosine."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))
