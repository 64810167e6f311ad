"""What can be chosen about a hand LoRA, as tables of the trainer's configuration file."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ..adapters.base import BaseSettings
from ..adapters.settings import LoraSettings
from ..adapters.training import AdapterTraining
from ..training.configuration import Configuration
from .entries import Attributes
from .prompts import PRESETS, SliderPrompts
from .starts import Away


class StartSettings(Configuration):
    """The noised latents that it is learnt at."""

    kind: Literal["denoised", "reservoir", "pictures"] = Field(
        default="reservoir",
        description="denoised: noise denoised anew for each pass by a random number of steps (the paper's; "
        "exact and slow); reservoir: partly denoised latents that are kept and go on by a step; pictures: noised "
        "pictures of your own (fastest).",
    )
    steps: int = Field(default=50, ge=2, le=1000, description="Steps of a whole denoising.")
    guidance: float = Field(default=3.0, ge=1, description="Classifier-free guidance of the denoising; 1 is none.")
    away: Away = Field(
        default="nothing", description="What that guidance leads away from: nothing, or the (first) negative prompt."
    )
    reservoir_size: int = Field(
        default=64, ge=1, description="Latents that are kept of each target prompt; more differ more and take longer."
    )
    refresh: float = Field(
        default=1.0, ge=0, le=1, description="Share of the passes before which the reservoir's latents go on by a step."
    )
    pictures: Path | None = Field(default=None, description="The folder of your own pictures.")


class SampleSettings(Configuration):
    """The sheets of sample pictures."""

    prompts: tuple[str, ...] = Field(default=(), description="What they show; none: each target.")
    scales: tuple[float, ...] = Field(
        default=(-2.0, -1.0, 0.0, 1.0, 2.0, 3.0), min_length=1, description="Scales of the LoRA, one column for each."
    )
    seeds: int = Field(default=2, ge=0, description="Rows for each prompt; 0: no sheets.")
    steps: int = Field(default=20, ge=1, description="Steps of the sampler.")
    guidance: float = Field(default=5.0, ge=1, description="Classifier-free guidance; 1 is none.")
    negative: str = Field(default="", description="The prompt that guidance leads away from.")


class Training(AdapterTraining):
    """The training itself."""

    steps: int = Field(default=1000, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=1, ge=1, description="Examples looked at in a pass, on each device.")
    learning_rate: float = Field(
        default=2e-4, gt=0, description="The learning rate after the warm-up; about 1 with prodigy."
    )
    warm_up: int = Field(default=50, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(
        default=0.98, ge=0, lt=1, description="Decay of the moving average of the weights, which is what is kept."
    )
    save_every: int = Field(default=100, ge=1, description="Steps between checkpoints to resume from.")
    sample_every: int = Field(default=250, ge=1, description="Steps between sheets of sample pictures.")


class Settings(BaseSettings):
    """What can be chosen about a hand LoRA."""

    output: Path = Field(
        default=Path("hand_lora"),
        description="Folder for the LoRA (hand_lora.safetensors, for ComfyUI's folder models/loras), checkpoints, logs "
        "and sample sheets.",
    )
    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same training.")
    preset: str = Field(default="hands", description=f"Prompts to take where none are given: {', '.join(PRESETS)}.")
    attributes: Attributes = Field(
        default="sampled",
        description="sampled: a step is about one of a pair's attributes; averaged: about all of them at once, which "
        "costs as many times more.",
    )
    prompts: tuple[SliderPrompts, ...] = Field(default=(), description="Pairs of prompts to lead between.")
    start: StartSettings = Field(default=StartSettings(), description="The noised latents that it is learnt at.")
    network: LoraSettings = Field(default=LoraSettings(), description="The LoRA's shape.")
    training: Training = Field(default=Training(), description="The training itself.")
    samples: SampleSettings = Field(default=SampleSettings(), description="The sheets of sample pictures.")

    @property
    def pairs(self) -> tuple[SliderPrompts, ...]:
        """The pairs of prompts: those given, or else the preset's."""
        return self.prompts or PRESETS[self.preset]
