"""What every preparation can choose, as tables of a trainer's configuration file."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ...training.configuration import Configuration, Required
from ..captioner import QUESTION
from ..captions import CaptionSettings, Origin
from ..sources import LAYOUTS


class Source(Configuration):
    """A dataset."""

    kind: str = Field(default="folder", description=f"What it is: {', '.join(LAYOUTS)}.")
    folder: Path = Field(default=Path("pictures"), description="Where it was unpacked.")


class BoxTable(Configuration):
    """Where a part of people is in pictures."""

    boxes: Literal["annotated", "detected", "both"] = Field(
        default="both",
        description="Whose boxes to take: the dataset's, the detector's, or the dataset's compared with the "
        "detector's (which alone counts where the dataset says nothing).",
    )
    least_overlap: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="With both: intersection over union from which on two boxes are the same.",
    )
    confirmed: Literal["keep", "replace"] = Field(
        default="keep",
        description="With both: keep an annotated box that the detector found too, or replace it by the detected one.",
    )
    unconfirmed: Literal["keep", "drop"] = Field(
        default="keep", description="With both: keep or drop an annotated box that the detector did not find."
    )
    unannotated: Literal["ignore", "add"] = Field(
        default="ignore", description="With both: ignore or add what the detector found beside the annotated boxes."
    )
    threshold: float = Field(default=0.5, ge=0, le=1, description="Least confidence of the detector.")

    @property
    def detects(self) -> bool:
        """Whether the detector is needed."""
        return self.boxes != "annotated"


class HandTable(BoxTable):
    """Where hands are in pictures."""

    most: int = Field(default=8, ge=1, description="Most hands that the detector looks for in a picture.")
    tiles: int = Field(
        default=1, ge=1, description="Above 1, search again in so many times so many tiles, for small hands."
    )


class CaptionTable(Configuration):
    """Where captions come from."""

    order: tuple[Origin, ...] = Field(
        default=("txt", "dataset", "model", "template"),
        description="Asked one after the other until one has a caption: txt (a file NAME.txt beside the picture), "
        "dataset, model (where one is set), template.",
    )
    template: str = Field(
        default="a photo of a hand",
        description="The last resort; {name} and {folder} stand for the picture's file and its folder.",
    )
    model: str | None = Field(
        default=None,
        description="A model that describes pictures, such as LLaVA or BLIP: a folder of transformers, or its name on "
        "the hub.",
    )
    question: str = Field(default=QUESTION, description="What a model that can be asked is asked.")
    batch: int = Field(default=8, ge=1, description="Pictures that the model describes at once.")
    allow_download: bool = Field(default=False, description="Whether the model may be fetched from the hub.")

    def result_of(self) -> dict[str, Any]:
        """Those that change the captions."""
        return self.model_dump(mode="json", exclude={"batch", "allow_download"})

    def settings(self) -> CaptionSettings:
        """Those of the stage. Raises ValueError for a template that cannot be filled in."""
        return CaptionSettings(self.order, self.template, self.batch)


class PreparationSettings(Configuration):
    """What a preparation is made from, and where it goes on."""

    kind: str = Field(default="folder", description=f"With one dataset: what it is, {', '.join(LAYOUTS)}.")
    folder: Annotated[Path | None, Required(unless="sources")] = Field(
        default=None, description="With one dataset: where it was unpacked."
    )
    sources: tuple[Source, ...] = Field(default=(), description="Several datasets, each with its kind and folder.")
    output: Path = Field(default=Path("prepared"), description="Folder to write; one of an earlier run is replaced.")
    work: Path | None = Field(
        default=None,
        description="Folder of the stages' finished pieces, from which a stopped run goes on and changed settings "
        "take what still holds; beside the output if not set. It may be deleted afterwards.",
    )

    @property
    def datasets(self) -> tuple[Source, ...]:
        """The one dataset and the several."""
        single = () if self.folder is None else (Source(kind=self.kind, folder=self.folder),)
        return (*single, *self.sources)

    @property
    def work_folder(self) -> Path:
        """Where the stages' pieces are."""
        return self.work or self.output.with_name(f"{self.output.name}.work")
