"""What can be chosen about a preparation of people, as tables of the trainer's configuration file."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...training.configuration import Configuration
from ..depth import Near
from ..preparing import filters
from ..preparing.filters import Filter
from ..preparing.tables import BoxTable, CaptionTable, HandTable, PreparationSettings
from .records import Part, Seen

Given = Literal["pose", "depth", "ignore"]
PoseSource = Literal["dataset", "json", "keypoints"]

ADD_DESCRIPTION = "With both: ignore or add what the detector found beside the annotated boxes."


class FaceSettings(BoxTable):
    """Where faces are in pictures."""

    unannotated: Literal["ignore", "add"] = Field(default="add", description=ADD_DESCRIPTION)


class HandSettings(HandTable):
    """Where hands are in pictures."""

    unannotated: Literal["ignore", "add"] = Field(default="add", description=ADD_DESCRIPTION)


class PartFilters(Configuration):
    """Which boxes are left out; 0 leaves a filter out."""

    least_side: float = Field(default=16, ge=0, description="Least shorter side of a box in pixels.")
    least_share: float = Field(default=0, ge=0, le=1, description="Least share of the picture that a box takes.")
    least_score: float = Field(default=0.5, ge=0, le=1, description="Least score, where the detector gives one.")
    least_sharpness: float = Field(
        default=0,
        ge=0,
        description="Least variance of the Laplacian in a box, in grey of 0 to 255 at 128 x 128 pixels.",
    )
    most_cut: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Most share of a box's perimeter on the picture's border; a side of a square is 0.25.",
    )

    def filters(self) -> list[Filter[Part]]:
        """The filters in the order in which they are asked."""
        return [
            Filter("small", filters.side, self.least_side, is_least=True),
            Filter("small share", filters.share, self.least_share, is_least=True),
            Filter("low score", filters.score, self.least_score, is_least=True),
            Filter("blurred", filters.sharpness, self.least_sharpness, is_least=True),
            Filter("cut by the border", filters.cut, self.most_cut, is_least=False),
        ]


class FilterSettings(Configuration):
    """Which pictures are left out; 0 leaves a filter out."""

    least_side: int = Field(default=384, ge=0, description="Least shorter side of a picture in pixels.")
    least_sharpness: float = Field(
        default=5,
        ge=0,
        description="Least variance of the Laplacian of a picture, in grey of 0 to 255 at 512 x 512 pixels.",
    )
    needs: Literal["nothing", "either", "both"] = Field(
        default="either",
        description="What the boxes' filters must leave of a picture: nothing, either a face or a hand, or both.",
    )
    duplicates: int = Field(
        default=4,
        ge=0,
        le=12,
        description="Leave out pictures whose perceptual hash, 64 bits, differs from an earlier one's in at most so "
        "many.",
    )
    faces: PartFilters = Field(default=PartFilters(), description="Which boxes of faces are left out.")
    hands: PartFilters = Field(default=PartFilters(), description="Which boxes of hands are left out.")

    def filters(self) -> list[Filter[Seen]]:
        """Those of whole pictures in the order in which they are asked; duplicates come after them."""
        regions = ("nothing", "either", "both").index(self.needs)
        without = "without face and hand" if self.needs == "either" else "without face or hand"
        return [
            Filter("small", lambda seen: min(seen.width, seen.height), self.least_side, is_least=True),
            Filter("blurred", lambda seen: seen.sharpness, self.least_sharpness, is_least=True),
            Filter(without, lambda seen: len(seen.regions), regions, is_least=True),
        ]


class Captions(CaptionTable):
    """Where captions come from."""

    template: str = Field(
        default="a photo of a person",
        description="The last resort; {name} and {folder} stand for the picture's file and its folder.",
    )


class PoseSettings(Configuration):
    """Pictures of poses, in the style of OpenPose that ControlNets know."""

    sources: tuple[PoseSource, ...] = Field(
        default=("dataset", "json", "keypoints"),
        description="Asked one after the other until one has a pose: dataset (its conditioning pictures, where given "
        "says that they are poses), json (POSE_KEYPOINT beside the picture: NAME.json or NAME_keypoints.json), "
        "keypoints (of the dataset's annotations). None of them: no poses.",
    )
    least_confidence: float = Field(
        default=0.3, ge=0, le=1, description="Keypoints of a JSON file below this confidence are missing."
    )
    hands: bool = Field(default=True, description="Draw the joints of hands.")
    face: bool = Field(default=True, description="Draw the points of faces.")


class DepthSettings(Configuration):
    """Pictures of depth, in which near is white."""

    model: str | None = Field(
        default=None,
        description="A model that estimates depth, such as Depth Anything or DPT: a folder of transformers, or its "
        "name on the hub. Without one only the dataset's conditioning pictures are taken, where given says depth.",
    )
    near: Near = Field(
        default="auto",
        description="Whether the model says large or small values for what is near; auto goes by the model's kind.",
    )
    allow_download: bool = Field(default=False, description="Whether the model may be fetched from the hub.")


class Settings(PreparationSettings):
    """All that can be chosen."""

    output: Path = Field(default=Path("people"), description="Folder to write; one of an earlier run is replaced.")
    models: Path = Field(
        default=Path("models/mediapipe"),
        description="Folder of the detectors' files, hand_landmarker.task and face_detection_full_range_sparse.tflite.",
    )
    download_missing: bool = Field(
        default=False, description="Download a detector's file where it is not there and is offered."
    )
    given: Given = Field(
        default="pose", description="What the conditioning pictures of datasets are, which only some have."
    )
    copy_pictures: bool = Field(
        default=True, description="Copy the pictures into the output, or only name the files where they are."
    )
    faces: FaceSettings = Field(default=FaceSettings(), description="Where faces are in pictures.")
    hands: HandSettings = Field(default=HandSettings(), description="Where hands are in pictures.")
    filters: FilterSettings = Field(default=FilterSettings(), description="Which pictures and boxes are left out.")
    captions: Captions = Field(default=Captions(), description="Where captions come from.")
    pose: PoseSettings = Field(default=PoseSettings(), description="Pictures of poses.")
    depth: DepthSettings = Field(default=DepthSettings(), description="Pictures of depth.")

    def result_of(self) -> dict[str, Any]:
        """Those that change what is written."""
        left_out = {"output": True, "work": True, "models": True, "download_missing": True}
        tables = {"captions": {"batch", "allow_download"}, "depth": {"allow_download"}}
        return self.model_dump(mode="json", exclude={**left_out, **tables})
