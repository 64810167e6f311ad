"""The loop that trainers share: optimiser, learning rate, mixed precision, moving average, checkpoints, logs."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from . import checkpoint, processes
from .backward import Backward, Losses, NewBackward
from .configuration import Configuration
from .draw import Draw, draw_of
from .moving_average import MovingAverage, trained_state
from .optimisers import new_optimiser

Sample = Callable[[int], Mapping[str, float] | None]
"""Looks at the network after a step with that number; gives figures to log."""

NewOptimiser = Callable[[list[nn.Parameter]], Optimizer]
"""Gives the optimiser of some weights."""

Decay = Literal["cosine", "constant"]

Curve = list[tuple[int, float]]
"""Steps, each with a figure's mean over the steps since the one before."""

Network = TypeVar("Network", bound=nn.Module)

LONGEST_GRADIENT = 1.0


class LoopSettings(Configuration):
    """How long and how fast a network is trained."""

    steps: int = Field(ge=1, description="How often the weights are changed.")
    batch: int = Field(ge=1, description="Examples looked at in a pass, on each device.")
    accumulate: int = Field(default=1, ge=1, description="Passes whose gradients make one step.")
    learning_rate: float = Field(gt=0, description="The learning rate after the warm-up.")
    decay: Decay = Field(
        default="cosine", description="How the learning rate falls after the warm-up: by a cosine to 0, or constant."
    )
    warm_up: int = Field(default=200, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights, which is what is kept; 0 keeps the last weights.",
    )
    precision: Literal["bf16", "fp32"] = Field(
        default="bf16", description="In what is computed: bf16 (mixed precision) or fp32."
    )
    save_every: int = Field(default=500, ge=1, description="Steps between checkpoints to resume from.")
    sample_every: int = Field(default=1000, ge=1, description="Steps between sheets of sample pictures.")
    log_every: int = Field(default=20, ge=1, description="Steps between points of the curves in TensorBoard.")


class Loop(Generic[Network]):
    """Trains one network, from its last checkpoint if there is one; exactly as if it had not been stopped.

    Each step draws from a generator seeded with the seed and the step's number alone, so a resumed training
    sees the examples and the noise that an uninterrupted one would have seen. Several processes share a step: each
    looks at its own examples, and their gradients are averaged.

    Args:
        network: what is trained, on the device to train on, the same in each process. Its weights are changed in
            place; frozen ones are neither averaged nor kept in checkpoints.
        settings: how long and how fast.
        seed: of examples and noise.
        folder: where checkpoints and logs are kept.
        name: of this network, in files, logs and the progress bar.
        beside: what belongs to the training and not into the network: parameters that are trained too, and buffers.
        optimiser: gives the optimiser of what is trained, whose learning rate the loop sets; None: AdamW.
        backward: gives how losses become the gradient of what is trained; None: it is that of `loss`, which is what
            the curve shows in any case.

    Raises:
        CheckpointError: there is a checkpoint of another training.
    """

    def __init__(
        self,
        network: Network,
        settings: LoopSettings,
        seed: int,
        folder: Path,
        name: str,
        beside: nn.Module | None = None,
        optimiser: NewOptimiser | None = None,
        backward: NewBackward | None = None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.name = name
        self.beside = beside or nn.Identity()
        self.step = 0
        self.curves: dict[str, Curve] = {}
        self.averaged = MovingAverage(network, settings.average)
        self._trainable = [weight for weight in self._weights() if weight.requires_grad]
        self.device = self._trainable[0].device
        self._sums: dict[str, Tensor] = {}
        new = optimiser or partial(new_optimiser, "adamw", learning_rate=settings.learning_rate)
        self._optimiser = new(self._trainable)
        self.backward = (backward or Backward)(self._trainable)
        self._resume()

    @property
    def curve(self) -> Curve:
        """That of `loss`; `curves` has all that is logged, in the main process also what `sample` gives."""
        return self.curves.get("loss", [])

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""
        return processes.state().is_main_process

    def draw(self, step: int, at: int) -> Draw:
        """What is drawn in pass `at` of a step in this process."""
        state, settings = processes.state(), self.settings
        part = at * state.num_processes + state.process_index
        return draw_of(self.seed, step, settings.batch, part, settings.accumulate * state.num_processes)

    def passes(self) -> Iterable[Draw]:
        """The draws of all passes still to come, in their order, for whoever loads examples ahead."""
        for step in range(self.step, self.settings.steps):
            for at in range(self.settings.accumulate):
                yield self.draw(step, at)

    def run(
        self, losses: Callable[[Draw], Losses], sample: Sample | None = None, sample_first: bool = False
    ) -> Network:
        """Train to the last step and give the network with its averaged weights, in evaluation mode.

        Args:
            losses: draws the examples of a pass and gives its losses, means over the examples.
            sample: draws pictures or measures, with `averaged.in_place()`; gets the step's number, gives figures to
                log. Called in the main process.
            sample_first: whether it is called before the first step too, where too little memory shows at once.
        """
        logs = str(self.folder / "logs" / self.name)
        log = SummaryWriter(logs, purge_step=self.step and self.step + 1) if self.is_main else None
        steps = self.settings.steps
        title = f"training the {self.name}"
        progress = tqdm(total=steps, initial=self.step, desc=title, unit="step", disable=not self.is_main)
        self.network.train()
        begun_at = self.step
        try:
            if sample and sample_first and log is not None and self.step == 0:
                self._note(log, sample(0) or {})
            while self.step < steps:
                self._advance(losses)
                progress.update()
                if self.step % self.settings.log_every == 0:
                    self._log(log, progress)
                if sample and log is not None and self.step % self.settings.sample_every == 0:
                    self._note(log, sample(self.step) or {})
                if self.step % self.settings.save_every == 0 and self.step < steps:
                    self._save()
        finally:
            progress.close()
            if log is not None:
                log.close()
        if self.step > begun_at:
            self._save()
        self.averaged.keep()
        return self.network

    def _advance(self, losses: Callable[[Draw], Losses]) -> None:
        settings = self.settings
        for group in self._optimiser.param_groups:
            group["lr"] = settings.learning_rate * pace(self.step, settings.warm_up, settings.steps, settings.decay)
        self._optimiser.zero_grad()
        share = 1 / self.settings.accumulate
        for at in range(self.settings.accumulate):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
                figures = losses(self.draw(self.step, at))
            self.backward.add(figures, share)
            self._add(figures, share)
        self._add(self.backward.finish(), 1)
        nn.utils.clip_grad_norm_(self._trainable, LONGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        self.averaged.follow(self.step)

    def _weights(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *self.beside.parameters()]

    def _add(self, figures: Losses, share: float) -> None:
        """Sum figures up on the device; reading each would make the device wait."""
        for name, value in figures.items():
            part = value.detach().to(self.device, torch.float32) * (share / self.settings.log_every)
            self._sums[name] = self._sums[name] + part if name in self._sums else part

    def _log(self, log: SummaryWriter | None, progress: tqdm) -> None:
        """Log each figure's mean over the steps since the last time."""
        processes.average(self._sums.values())
        figures = {name: value.item() for name, value in self._sums.items()}
        self._sums = {}
        progress.set_postfix(loss=f"{figures['loss']:.4f}", refresh=False)
        self._note(log, {**figures, "learning_rate": self._optimiser.param_groups[0]["lr"]})

    def _note(self, log: SummaryWriter | None, figures: Mapping[str, float]) -> None:
        """Add a point to the figures' curves, here and in TensorBoard."""
        for name, value in figures.items():
            self.curves.setdefault(name, []).append((self.step, value))
            if log is not None:
                log.add_scalar(name, value, self.step)
        if log is not None:
            log.flush()

    def _save(self) -> None:
        processes.average_buffers(self.network)
        if self.is_main:
            checkpoint.save(
                self._checkpoint_file(),
                step=self.step,
                seed=self.seed,
                network=trained_state(self.network),
                beside=self.beside.state_dict(),
                averaged=self.averaged.weights,
                optimiser=self._optimiser.state_dict(),
                backward=self.backward.state_dict(),
                sums=self._sums,
                curves=self.curves,
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
        kept = (state["network"], state["beside"], state.get("backward", {}))
        own = (trained_state(self.network), self.beside.state_dict(), self.backward.state_dict())
        if [shapes(of) for of in kept] != [shapes(of) for of in own]:
            raise checkpoint.CheckpointError(
                f"{self._checkpoint_file()} is of a network of another shape: give the settings that it was begun "
                "with, or another output folder."
            )
        self.network.load_state_dict(state["network"], strict=False)
        self.beside.load_state_dict(state["beside"])
        self.averaged.weights = state["averaged"]
        self._optimiser.load_state_dict(state["optimiser"])
        self.backward.load_state_dict(state.get("backward", {}))
        self._sums = state["sums"]
        self.curves = state["curves"] if "curves" in state else {"loss": state["curve"]}
        self.step = state["step"]

    def _checkpoint_file(self) -> Path:
        return self.folder / f"{self.name}.checkpoint.pt"


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """The shapes of tensors, by name."""
    return {name: value.shape for name, value in state.items()}


def pace(step: int, warm_up: int, steps: int, decay: Decay = "cosine") -> float:
    """The learning rate's factor: from 0 to 1 over the warm-up, then down to 0 by half a cosine, or constant."""
    if step < warm_up:
        return (step + 1) / warm_up
    if decay == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))
