"""What can be chosen about a fair training: its objectives, and how their gradients become one."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import nn

from ..adapters.base import BaseSettings, check_base
from ..adapters.training import AdapterTraining
from ..base_models import BaseModel
from ..people.settings import DataSettings
from ..training import optimisers
from ..training.backward import NewBackward
from ..training.configuration import Configuration
from ..training.loop import Decay
from ..training.processes import device
from ..training.program import command
from ..whole_files import prepare_folder
from .step import FairBackward
from .strategies import StrategyError, StrategyName, new_strategy

GLOBAL = "global"
PREFERENCE = "preference"
LOSS = "loss"  # what the losses' sum is called

OF_LOSSES = ("uncertainty", "dwa")  # strategies that weight by how large the losses are

Normalise = Literal["area", "image"]


class PreferenceSettings(Configuration):
    """A reward of pictures as one more objective."""

    reward: str = Field(
        default="",
        description="A differentiable function as package.module:function, called with pictures [N, 3, H, W] in 0..1 "
        "and their captions, that gives [N] numbers, more for better; none: no such objective.",
    )
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="What the reward is multiplied with.")
    margin: float | None = Field(
        default=None, description="The reward that is enough: what is above it counts no more. Not set: none is."
    )
    below: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Only times below this have it (0 clean, 1 noise): before, a one-step estimate is a blur.",
    )


class ObjectiveSettings(Configuration):
    """What is lowered at once."""

    regions: tuple[str, ...] = Field(
        default=("face", "hand"),
        description="Regions with an objective of their own beside the whole picture; the prepared data name theirs.",
    )
    normalise: Normalise = Field(
        default="area",
        description="A region's loss is averaged over its own area, or summed and divided by the image's, where small "
        "regions count little.",
    )
    min_snr_gamma: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Min-SNR weight of all errors alike (arXiv 2303.09556; 5 is the paper's); 0: none.",
    )
    preference: PreferenceSettings = Field(default=PreferenceSettings(), description="A reward as an objective.")

    @field_validator("regions")
    @classmethod
    def _named_well(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        taken = {GLOBAL, PREFERENCE, LOSS} & set(regions)
        if taken:
            raise ValueError(f"should not name a region {taken.pop()}, which is an objective's name already")
        if len(set(regions)) != len(regions):
            raise ValueError("should name each region once")
        if any(not re.fullmatch(r"[a-z][a-z0-9_]*", region) for region in regions):
            raise ValueError("should be words of small letters, digits and _")
        return regions

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives, that of the whole picture first."""
        return (GLOBAL, *self.regions, *((PREFERENCE,) if self.preference.reward else ()))


class FairnessSettings(Configuration):
    """How the objectives' gradients become one."""

    strategy: StrategyName = Field(
        default="mpd",
        description="mpd (Minimum Potential Delay), mpd_closed_form (as the paper prints it), sum, fixed, uncertainty, "
        "dwa (dynamic weight average) or torchjd (an aggregator of that package).",
    )
    fixed: tuple[float, ...] = Field(
        default=(),
        description="The weights of the strategy fixed: of the whole picture, of each region, of the reward.",
    )
    aggregator: str = Field(default="UPGrad", description="Which of torchjd's aggregators the strategy torchjd takes.")
    refresh_every: int = Field(
        default=1,
        ge=0,
        description="Steps between those whose gradients are measured; weights stay meanwhile, and the steps between "
        "cost no more than plain ones. 0: never, for sum, fixed, uncertainty and dwa.",
    )
    batched: bool = Field(
        default=False,
        description="Whether all gradients come from one batched pass: faster with checkpointing, more memory.",
    )


def new_fair_backward(settings: FairnessSettings, objectives: Sequence[str]) -> NewBackward:
    """What makes one gradient of the losses of these objectives, for `Loop(backward=...)`.

    It raises StrategyError where settings and objectives do not fit each other.
    """

    def new(weights: Sequence[nn.Parameter]) -> FairBackward:
        strategy = new_strategy(settings.strategy, len(objectives), settings.fixed, settings.aggregator)
        return FairBackward(weights, objectives, strategy, settings.refresh_every, settings.batched)

    return new


class FairTrainingSettings(AdapterTraining):
    """The training itself, as the paper's."""

    learning_rate: float = Field(
        default=1e-5, gt=0, description="The learning rate after the warm-up (the paper's); about 1 with prodigy."
    )
    decay: Decay = Field(
        default="constant", description="How the learning rate falls after the warm-up: by a cosine to 0, or constant."
    )
    sample_every: int = Field(
        default=1000, ge=1, description="Steps between sample sheets and measures of the held-out pictures."
    )


class FairSettings(BaseSettings):
    """What can be chosen about any adapter that is trained fairly on pictures of people."""

    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same training.")
    data: DataSettings = Field(default=DataSettings(), description="The pictures.")
    objectives: ObjectiveSettings = Field(default=ObjectiveSettings(), description="What is lowered at once.")
    fairness: FairnessSettings = Field(default=FairnessSettings(), description="How their gradients become one.")

    def made_by(self, program: str, base: BaseModel, steps: int) -> dict[str, Any]:
        """What an adapter's file says of its making.

        Args:
            program: how it is started.
            base: the base model.
            steps: of the training.
        """
        return {
            "command": command(program),
            "seed": self.seed,
            "steps": steps,
            "base": Path(self.base).name,
            "base_family": base.family,
            "objectives": list(self.objectives.names),
            "strategy": self.fairness.strategy,
            "settings": self.model_dump(mode="json", exclude={"output"}),
            "torch": torch.__version__,
        }


def check(settings: FairSettings, training: AdapterTraining, file: Path, dropout: float = 0.0) -> None:
    """Look for what is wrong with the settings of a fair training, without the base model and the pictures.

    Args:
        settings: all that is chosen.
        training: of them, those of the training itself.
        file: what is to be written at the end.
        dropout: of what is trained.

    Raises:
        ValueError, OSError: something would stop the training later; in one sentence.
    """
    check_base(settings)
    _check_folders(settings.data)
    _check_objectives(settings, training.checkpointing, dropout)
    optimisers.check(training.optimiser, training.learning_rate, device())
    prepare_folder(file)


def _check_folders(data: DataSettings) -> None:
    if not data.prepared:
        raise ValueError("No pictures are given: data.prepared names folders that trainers.prepare_humans wrote.")
    for folder in data.prepared:
        if not folder.is_dir():
            raise ValueError(f"data.prepared names {folder}, which is no folder: trainers.prepare_humans writes them.")


def _check_objectives(settings: FairSettings, checkpointing: bool, dropout: float) -> None:
    fairness, preference = settings.fairness, settings.objectives.preference
    new_fair_backward(fairness, settings.objectives.names)([])
    if fairness.batched and checkpointing and dropout:
        raise StrategyError(
            f"fairness.batched with training.checkpointing needs a dropout of 0, found {dropout:g}: what is left out "
            "would differ where the blocks are computed again"
        )
    if preference.reward and preference.margin is None and fairness.strategy in OF_LOSSES:
        raise StrategyError(
            f"the strategy {fairness.strategy} weights by the losses, which should be positive: give the reward an "
            "objectives.preference.margin, or take mpd"
        )
