"""Train a ControlNet or T2I-Adapter on people, fairly to whole picture, face and hands:
`python -m trainers.mpd_controlnet --base FILE --data.prepared '["FOLDER"]' [--adapter t2i] [--config FILE]`.

`accelerate launch -m trainers.mpd_controlnet ...` shares each step between processes, on one card each.
"""

import logging
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from fairhands.adapters.base import load_base
from fairhands.adapters.control import Control, dropped
from fairhands.adapters.control_file import read, save
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.eight_bit import in_eight_bits
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.base_models import BaseModel, Text, fingerprint
from fairhands.fairness.control_samples import ControlSamples, ControlSampleSettings
from fairhands.fairness.objectives import Objectives
from fairhands.fairness.run import MadeBy, train_fairly
from fairhands.fairness.settings import FairSettings, FairTrainingSettings, check
from fairhands.fairness.training import FairTraining
from fairhands.people.batch import Batch
from fairhands.people.people import People
from fairhands.training.configuration import Required, from_command_line
from fairhands.training.training_program import run

PROGRAM = "python -m trainers.mpd_controlnet"
PURPOSE = (
    "Train a ControlNet or T2I-Adapter on pictures of people with Minimum Potential Delay (FairHuman): better hands "
    "and faces at once."
)
OUT_OF_MEMORY = (
    "set training.checkpointing = true, lower data.resolution or training.batch (training.accumulate makes up for it), "
    "take adapter = t2i, set base_precision = 8bit or training.optimiser = adamw8bit, or close other programs that use "
    "the card"
)
KINDS: dict[str, type[Control]] = {"controlnet": ControlNet, "t2i": T2IAdapter}
NAMES = {"controlnet": "mpd_controlnet", "t2i": "mpd_t2i_adapter"}
# Of pictures' sides: a T2I-Adapter halves features of odd sizes in another way than ComfyUI does.
T2I_STEP = 64


class Training(FairTrainingSettings):
    """The training itself."""

    steps: int = Field(default=51000, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=4, ge=1, description="Examples looked at in a pass, on each device.")


class Settings(FairSettings):
    """What can be chosen about a ControlNet or T2I-Adapter that is trained fairly."""

    base: Annotated[str, Required()] = Field(
        default="",
        description="The base model: a checkpoint of SD 1.5 or SDXL (.safetensors), a diffusers folder, or its name on "
        "the hub.",
    )
    adapter: Literal["controlnet", "t2i"] = Field(
        default="controlnet",
        description="controlnet: a copy of the base's encoder that reads the picture too; t2i: a T2I-Adapter, a fifth "
        "of the size (for SDXL a sixteenth) and looked at once for a whole sampling.",
    )
    conditioning: str = Field(
        default="pose", description="Which pictures it is shown: pose, depth, or what else the prepared data name."
    )
    conditioning_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of examples that are shown a black picture instead."
    )
    start_from: Path | None = Field(
        default=None,
        description="A ControlNet or T2I-Adapter to go on from: diffusers' folder, or one .safetensors file. Not set: "
        "a new one.",
    )
    output: Path = Field(
        default=Path("mpd_controlnet"),
        description="Folder for the network (mpd_controlnet.safetensors or mpd_t2i_adapter.safetensors, for ComfyUI's "
        "folder models/controlnet), cached latents and texts, checkpoints, logs, sample sheets and report.",
    )
    training: Training = Field(default=Training(), description="The training itself.")
    samples: ControlSampleSettings = Field(
        default=ControlSampleSettings(), description="The sheets of sample pictures."
    )

    @property
    def name(self) -> str:
        """Of the network, in files and logs."""
        return NAMES[self.adapter]

    @property
    def file(self) -> Path:
        """What is written at the end."""
        return self.output / f"{self.name}.safetensors"


class Parts(NamedTuple):
    """What a training is put together from."""

    base: BaseModel
    control: Control
    fair: FairTraining
    samples: ControlSamples


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)

    def prepare() -> Parts:
        check_all(settings)
        return new_parts(settings)

    run(PROGRAM, settings.file, OUT_OF_MEMORY, prepare, lambda parts: train(parts, settings))


def check_all(settings: Settings) -> None:
    """Look for what is wrong with the settings, without the base model and the pictures.

    Raises:
        ValueError, OSError: something would stop the training later; in one sentence.
    """
    check(settings, settings.training, settings.file)
    if settings.start_from is not None and not settings.start_from.exists():
        raise ValueError(f"start_from names {settings.start_from}, where nothing is.")
    if settings.adapter == "t2i" and settings.data.bucket_step % T2I_STEP:
        raise ValueError(
            f"data.bucket_step should be a multiple of {T2I_STEP} for a T2I-Adapter, found {settings.data.bucket_step}."
        )


def new_parts(settings: Settings) -> Parts:
    """The base model with the network beside it, the pictures, encoded where they were not yet, and what is learnt.

    Raises:
        ValueError: something does not fit: the base model, what is started from, a folder, a region, the reward.
        ImportError: a package is missing that 8 bits need.
        OSError: the cache cannot be written.
    """
    objectives = Objectives(settings.objectives)
    base, control = new_control(settings)
    objectives.check(base)
    people = People(
        settings.data,
        base,
        settings.objectives.regions,
        settings.output / "cache",
        fingerprint(settings.base_path),
        conditioning=settings.conditioning,
        seed=settings.seed,
    )

    def predict_shown(noised: Tensor, times: Tensor, text: Text, conditioning: Tensor) -> Tensor:
        # The loop leaves sampling and measuring in single precision, in which a ControlNet takes several times longer.
        with torch.autocast(base.device.type, torch.bfloat16, enabled=settings.training.precision == "bf16"):
            return control.predict(noised, times, text, conditioning)

    def predict(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        assert batch.conditioning is not None
        share = settings.conditioning_dropout if control.training else 0.0
        return predict_shown(noised, times, text, dropped(batch.conditioning, share))

    samples = ControlSamples(base, predict_shown, people, settings.samples, settings.conditioning)
    base.text_encoders = ()
    return Parts(base, control, FairTraining(base, people, predict, objectives, settings.training.batch), samples)


def new_control(settings: Settings) -> tuple[BaseModel, Control]:
    """The base model, and beside it the network that is trained: a new one, or what is started from.

    Raises:
        ValueError: there is no such base model, none with a U-Net, or what is started from does not go with it.
        ImportError: a package is missing that 8 bits need.
    """
    eight_bits = settings.base_precision == "8bit"
    # A ControlNet begins as a copy of weights, which 8 bits would have rounded.
    base = load_base(settings.model_copy(update={"base_precision": "auto"}) if eight_bits else settings)
    torch.manual_seed(settings.seed)
    kind = KINDS[settings.adapter]
    control = kind.new(base) if settings.start_from is None else read(kind, base, settings.start_from)
    if eight_bits:
        in_eight_bits(base)
    if settings.training.checkpointing:
        control.use_checkpointing()
    return base, control


def train(parts: Parts, settings: Settings) -> dict[str, float]:
    """Train the network from its last checkpoint if there is one; write its file, sample sheets and report; figures."""
    file, control = settings.file, parts.control

    def save_control(made_by: MadeBy) -> None:
        save(control, file, made_by, settings.conditioning, f"MPD {control.title} ({settings.conditioning})")

    training, write = settings.training, parts.samples.write
    return train_fairly(control, parts.fair, settings, training, file, PROGRAM, write, save_control)


if __name__ == "__main__":
    main()
