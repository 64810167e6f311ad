"""What can be chosen about the pictures that a training sees, as a table of a trainer's configuration file."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..training.configuration import Configuration, Required
from .arrays import Precision


class DataSettings(Configuration):
    """The pictures of people and how they are shown."""

    prepared: Annotated[tuple[Path, ...], Required()] = Field(
        default=(), description="Folders of prepared people, as `python -m trainers.prepare_humans` writes them."
    )
    resolution: int = Field(
        default=0,
        ge=0,
        description="Side of a square picture in pixels; others have about the same area. 0: the base model's own.",
    )
    bucket_step: int = Field(
        default=64, ge=8, description="Sides of pictures are multiples of this many pixels; fewer crop less."
    )
    largest_aspect: float = Field(
        default=2.0,
        ge=1,
        description="The longer side by the shorter one at most; longer pictures are cropped to it. 1: squares only.",
    )
    enlarge: bool = Field(
        default=False,
        description="Whether small pictures are enlarged to the resolution; or else shown at about their own size.",
    )
    flip: bool = Field(
        default=False,
        description="Whether pictures are shown mirrored half of the time; not where captions tell left from right.",
    )
    caption_dropout: float = Field(
        default=0.1, ge=0, le=1, description="Share of examples that are shown with an empty caption."
    )
    box_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Standard deviation of errors added to the boxes' place and size, by their sides; not to masks.",
    )
    held_out: int = Field(default=0, ge=0, description="How many pictures are kept from training, to measure with.")
    precision: Precision = Field(
        default="fp16", description="Of kept latents, texts and pictures of masks: fp16 or fp32."
    )
    workers: int = Field(default=2, ge=1, description="Threads that read pictures and load examples ahead.")
