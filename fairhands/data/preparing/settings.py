"""What can be chosen about a preparation, as tables of the trainer's configuration file."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...base_models.process import Predicts
from ...training.configuration import Configuration
from . import filters
from .estimates import EstimateSettings
from .fakes import FakeSettings
from .filters import Filter
from .records import Crop
from .tables import CaptionTable, HandTable, PreparationSettings


class HandSettings(HandTable):
    """Where hands are in pictures."""

    confirmed: Literal["keep", "replace"] = Field(
        default="replace",
        description="With both: keep an annotated box that the detector found too, or replace it by the detected one, "
        "which frames real hands as those of fakes, that only the detector knows.",
    )
    unconfirmed: Literal["keep", "drop"] = Field(
        default="drop",
        description="With both: keep or drop an annotated box that the detector did not find; of fakes none are "
        "known that it did not find.",
    )
    models: Path = Field(
        default=Path("models/mediapipe"), description="Folder of the detector's file, hand_landmarker.task."
    )
    download_missing: bool = Field(default=False, description="Download the detector's file where it is not there.")

    def result_of(self) -> dict[str, Any]:
        """Those that change what is found."""
        return self.model_dump(mode="json", exclude={"models", "download_missing"})


class FilterSettings(Configuration):
    """Which crops are left out; 0 leaves a filter out."""

    least_side: float = Field(default=48, ge=0, description="Least shorter side of a hand's box in pixels.")
    least_score: float = Field(default=0.5, ge=0, le=1, description="Least score of a hand that the detector found.")
    least_sharpness: float = Field(
        default=15,
        ge=0,
        description="Least variance of the Laplacian of the hand, in grey of 0 to 255 at 128 x 128 pixels.",
    )
    most_cut: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Most share of a box's perimeter on the picture's border; a side of a square is 0.25.",
    )
    least_share: float = Field(default=0, ge=0, le=1, description="Least share of the picture that a box takes.")
    most_share: float = Field(default=0, ge=0, le=1, description="Most share of the picture that a box takes.")
    duplicates: int = Field(
        default=4,
        ge=0,
        le=12,
        description="Leave out crops whose perceptual hash, 64 bits, differs from an earlier one's in at most so many.",
    )

    def filters(self) -> list[Filter[Crop]]:
        """The filters in the order in which they are asked; duplicates, which need all crops, come after them."""
        return [
            Filter("small", filters.side, self.least_side, is_least=True),
            Filter("low score", filters.score, self.least_score, is_least=True),
            Filter("blurred", filters.sharpness, self.least_sharpness, is_least=True),
            Filter("cut by the border", filters.cut, self.most_cut, is_least=False),
            Filter("small share", filters.share, self.least_share, is_least=True),
            Filter("large share", filters.share, self.most_share, is_least=False),
        ]


class CropSettings(Configuration):
    """The crops as they are stored."""

    size: int = Field(default=320, ge=16, le=4096, description="Side of the square crops in pixels.")
    margin: float = Field(
        default=0.5, ge=0, le=4, description="Context on each side of a hand, relative to its box's longer side."
    )
    format: Literal["webp", "png", "jpeg"] = Field(default="webp", description="How crops are stored.")
    quality: int = Field(default=95, ge=1, le=100, description="Quality of webp and jpeg.")


class FakeTable(Configuration):
    """The pictures that a base model makes of the captions."""

    base: str | None = Field(
        default=None,
        description="The base model: a checkpoint of SD 1.5 or SDXL (.safetensors), a diffusers folder, its name on "
        "the hub, or the mannequin model. Without one only real hands are packed.",
    )
    base_config: Path | None = Field(
        default=None, description="For a checkpoint of unusual size: a diffusers folder whose configurations fit it."
    )
    predicts: Predicts | None = Field(
        default=None, description="What an SD checkpoint predicts where it does not say so: noise or velocity."
    )
    allow_download: bool = Field(default=False, description="Whether the base model may be fetched from the hub.")
    each: int = Field(default=1, ge=1, description="Pictures made of each caption.")
    steps: int = Field(default=30, ge=1, description="Steps of the sampler.")
    guidance: float = Field(default=5.0, ge=1, description="Scale of classifier-free guidance; 1 is none.")
    alike: bool = Field(
        default=True,
        description="Bring real pictures to the base model's size and through its autoencoder, as its own are, so that "
        "neither resolution nor the autoencoder's marks tell a critic which hand is real.",
    )
    size: int | None = Field(
        default=None, ge=64, description="Side of the pictures in pixels; the base model's own if not set."
    )
    negative: str = Field(default="", description="The prompt that guidance leads away from.")
    batch: int = Field(default=4, ge=1, description="Pictures made at once.")

    def settings(self) -> FakeSettings:
        """Those of the stage."""
        return FakeSettings(self.steps, self.guidance, self.size, self.negative, self.batch)


class EstimateTable(Configuration):
    """Clean estimates of real pictures and fakes, as guidance shows them to a critic while it samples."""

    each: int = Field(default=0, ge=0, description="Estimates made of each picture by the base model; 0 for none.")
    lowest: int = Field(default=150, ge=1, le=999, description="Least training timestep of an estimate's noise.")
    highest: int = Field(default=650, ge=1, le=999, description="Largest training timestep of an estimate's noise.")
    batch: int = Field(default=4, ge=1, description="Pictures estimated at once.")

    def settings(self) -> EstimateSettings:
        """Those of the stage. Raises ValueError where the lowest is above the highest."""
        return EstimateSettings(self.each, self.lowest, self.highest, self.batch)


class PackSettings(Configuration):
    """The result's layout."""

    layout: Literal["shards", "folder"] = Field(
        default="shards", description="Tar files in WebDataset's layout, or a folder of pictures."
    )
    crops_in_shard: int = Field(default=1000, ge=1, description="Crops in a tar file, or in a folder of pictures.")
    unpaired: Literal["drop", "keep"] = Field(
        default="drop",
        description="With fakes: drop or keep crops of a caption that only real hands or only fakes are left of.",
    )


class Settings(PreparationSettings):
    """All that can be chosen."""

    output: Path = Field(default=Path("hand_pairs"), description="Folder to write; one of an earlier run is replaced.")
    hands: HandSettings = Field(default=HandSettings(), description="Where hands are in pictures.")
    filters: FilterSettings = Field(default=FilterSettings(), description="Which crops are left out.")
    crops: CropSettings = Field(default=CropSettings(), description="The crops as they are stored.")
    captions: CaptionTable = Field(default=CaptionTable(), description="Where captions come from.")
    fakes: FakeTable = Field(default=FakeTable(), description="Pictures of a base model.")
    estimates: EstimateTable = Field(default=EstimateTable(), description="Estimates of pictures.")
    pack: PackSettings = Field(default=PackSettings(), description="The result's layout.")
