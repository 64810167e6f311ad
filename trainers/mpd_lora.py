"""Train a LoRA on people, fairly to whole picture, face and hands:
`python -m trainers.mpd_lora --base FILE --data.prepared '["FOLDER"]' [--config FILE] [--key value ...]`.

`accelerate launch -m trainers.mpd_lora ...` shares each step between processes, on one card each.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from fairhands.adapters.base import load_base
from fairhands.adapters.export import save
from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import BaseModel, Text, fingerprint
from fairhands.fairness.objectives import Objectives
from fairhands.fairness.run import MadeBy, train_fairly
from fairhands.fairness.samples import Samples, SampleSettings
from fairhands.fairness.settings import FairSettings, FairTrainingSettings, check
from fairhands.fairness.training import FairTraining
from fairhands.people.batch import Batch
from fairhands.people.people import People
from fairhands.training.configuration import from_command_line
from fairhands.training.training_program import run

PROGRAM = "python -m trainers.mpd_lora"
PURPOSE = "Train a LoRA on pictures of people with Minimum Potential Delay (FairHuman): better hands and faces at once."
NAME = "mpd_lora"
FILE = f"{NAME}.safetensors"
OUT_OF_MEMORY = (
    "set training.checkpointing = true, lower data.resolution, training.batch (training.accumulate makes up for it) or "
    "network.rank, set base_precision = 8bit or training.optimiser = adamw8bit, or close other programs that use the "
    "card"
)


class NetworkSettings(LoraSettings):
    """The LoRA's shape."""

    rank: int = Field(
        default=64, ge=1, le=1024, description="Rank of each layer's change; the paper's is 256, for SDXL 1.5 GB."
    )
    alpha: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Strength: the change is multiplied by alpha / rank; 0: as large as the rank.",
    )

    @property
    def shape(self) -> LoraSettings:
        """The same with an alpha."""
        return LoraSettings.model_validate({**self.model_dump(), "alpha": self.alpha or float(self.rank)})


class Training(FairTrainingSettings):
    """The training itself."""

    steps: int = Field(default=20000, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=1, ge=1, description="Examples looked at in a pass, on each device.")


class Settings(FairSettings):
    """What can be chosen about a LoRA that is trained fairly."""

    output: Path = Field(
        default=Path(NAME),
        description="Folder for the LoRA (mpd_lora.safetensors, for ComfyUI's folder models/loras), cached latents and "
        "texts, checkpoints, logs, sample sheets and report.",
    )
    text_encoders: bool = Field(
        default=False, description="Whether the text encoders get a LoRA too; their texts are then not cached."
    )
    network: NetworkSettings = Field(default=NetworkSettings(), description="The LoRA's shape.")
    training: Training = Field(default=Training(), description="The training itself.")
    samples: SampleSettings = Field(default=SampleSettings(), description="The sheets of sample pictures.")


class Parts(NamedTuple):
    """What a training is put together from."""

    base: BaseModel
    adapter: LoraAdapter
    fair: FairTraining
    samples: Samples


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    file = settings.output / FILE

    def prepare() -> Parts:
        check(settings, settings.training, file, settings.network.dropout)
        return new_parts(settings)

    run(PROGRAM, file, OUT_OF_MEMORY, prepare, lambda parts: train(parts, settings))


def new_parts(settings: Settings) -> Parts:
    """The base model with a new LoRA on it, the pictures, encoded where they were not yet, and what is learnt of them.

    Raises:
        ValueError: something does not fit: the base model, a folder, a region, a prompt, the reward.
        ImportError: a package is missing that 8 bits need.
        OSError: the cache cannot be written.
    """
    objectives = Objectives(settings.objectives)
    base = load_base(settings)
    objectives.check(base)
    torch.manual_seed(settings.seed)
    adapter = LoraAdapter(base, settings.network.shape, settings.text_encoders).to(base.device)
    if settings.training.checkpointing:
        adapter.use_checkpointing()
    people = People(
        settings.data,
        base,
        settings.objectives.regions,
        settings.output / "cache",
        fingerprint(settings.base_path),
        encode_text=not settings.text_encoders,
        seed=settings.seed,
    )
    side = settings.data.resolution or base.resolution
    samples = Samples(base, adapter, people, settings.samples, side, encodes=settings.text_encoders)
    if not settings.text_encoders:
        base.text_encoders = ()

    def predict(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        return base.predict(noised, times, text)

    return Parts(base, adapter, FairTraining(base, people, predict, objectives, settings.training.batch), samples)


def train(parts: Parts, settings: Settings) -> dict[str, float]:
    """Train the LoRA from its last checkpoint if there is one; write its file, sample sheets and report; figures."""
    file = settings.output / FILE

    def save_lora(made_by: MadeBy) -> None:
        save(parts.adapter, file, made_by, title="MPD LoRA")

    training, write = settings.training, parts.samples.write
    return train_fairly(parts.adapter, parts.fair, settings, training, file, PROGRAM, write, save_lora)


if __name__ == "__main__":
    main()
