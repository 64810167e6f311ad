"""What can be chosen about a discriminator's training, as tables of the trainer's configuration file."""

from pathlib import Path

from pydantic import Field

from ...training.configuration import Configuration
from ...training.loop import LoopSettings
from .augmentation import Augmentation
from .objective import Objective
from .sources import Drawn

FILE = "hand_discriminator.safetensors"
CONV = "conv"


class Data(Drawn):
    """What is learnt from."""

    prepared: tuple[Path, ...] = Field(
        default=(),
        description="Folders that `python -m trainers.prepare_hands` wrote; none: drawn hands, as the other keys say.",
    )
    drawn_beside: bool = Field(
        default=False,
        description="Whether drawn pairs, whose malformations have names, are learnt from beside the prepared ones.",
    )
    held_out: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the prepared pairs that are kept to measure the result with."
    )


class Checking(Configuration):
    """The gradient check: does following the gradient lead to hands that somebody else finds better, too?"""

    base: str | None = Field(
        default=None,
        description="The base model that will be guided (as for prepare_hands): on held-out generated hands the "
        "gradient is followed in its latents. None: no check.",
    )
    hands: int = Field(default=16, ge=1, description="Hands that it is tried on.")
    weight: float = Field(default=1.0, gt=0, description="Length of its ten steps, in what guidance takes at w = 1.")
    finger_judge: Path | None = Field(
        default=None, description="The judge of mannequin hands; none: MediaPipe's detector judges."
    )
    models: Path = Field(
        default=Path("models/mediapipe"), description="Folder of the detector's file, hand_landmarker.task."
    )


class Training(LoopSettings):
    """The training itself."""

    steps: int = Field(default=520, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=16, ge=1, description="Pairs of hands looked at in a pass, on each device.")
    learning_rate: float = Field(default=1.5e-3, gt=0, description="Adam's learning rate after the warm-up.")
    warm_up: int = Field(default=26, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(
        default=0.99, ge=0, lt=1, description="Decay of the moving average of the weights, which is what is kept."
    )


class Settings(Configuration):
    """What can be chosen about a training."""

    output: Path = Field(
        default=Path("hand_discriminator"),
        description=f"Folder for the discriminator ({FILE}, for ComfyUI's folder models/hand_discriminators), "
        "its report, checkpoints and logs.",
    )
    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same training.")
    start_from: Path | None = Field(default=None, description="A discriminator's file to train on, in its own shape.")
    backbone: str = Field(
        default="conv",
        description="What it looks with: conv (small, trained along), or a frozen transformer: dino_vits16, "
        "dino_vitb16, dinov2_small, dinov2_base, dinov3_vits16, another name on the hub, or a local folder.",
    )
    frozen: bool = Field(
        default=False,
        description="Whether a conv backbone stays as it is, as transformers always do; for one to start_from.",
    )
    download: bool = Field(default=False, description="Whether the backbone may be fetched from the hub.")
    with_backbone: bool = Field(
        default=True, description="Whether the file holds the backbone too; otherwise its name and hash."
    )
    input_size: int | None = Field(
        default=None, ge=4, description="Side of the pictures that it takes, in pixels: 64 for conv, else 224."
    )
    margin: float = Field(
        default=0.15, ge=0, description="Context around a hand's box on each side, relative to its longer side."
    )
    widths: tuple[int, ...] = Field(
        default=(16, 32, 64, 128), description="Channels of the conv backbone's stages; each halves the picture."
    )
    text_encoder: str = Field(
        default="",
        description="What embeds the captions, for a discriminator that judges by a text: a Stable Diffusion 1.5 "
        "checkpoint, or the folder or hub name of a CLIP text encoder. Empty: it judges without.",
    )
    compile: bool = Field(default=False, description="Whether torch.compile makes it faster, after a slow start.")
    workers: int = Field(default=2, ge=0, description="Processes that draw or load pictures; 0: the program itself.")
    data: Data = Field(default=Data(), description="What is learnt from.")
    augmentation: Augmentation = Field(default=Augmentation(), description="How far pictures are changed.")
    objective: Objective = Field(default=Objective(), description="What counts how much.")
    training: Training = Field(default=Training(), description="The training itself.")
    check: Checking = Field(default=Checking(), description="The gradient check.")
