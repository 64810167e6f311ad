"""Annotations in COCO's form: a list of pictures, and a list of what is seen in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..problems import Problems
from . import faults
from .faults import Fault


@dataclass(frozen=True)
class Annotated:
    """A picture and its annotations, each with its place for messages; `width` and `height` in pixels."""

    name: str
    width: int
    height: int
    place: str
    annotations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def annotated_pictures(content: dict[str, Any], place: str, problems: Problems) -> Iterator[Annotated]:
    """The pictures that have annotations; broken entries are noted and left out.

    Raises:
        Fault: one of the two lists is missing.
    """
    images = faults.field(content, "images", list)
    annotations = faults.field(content, "annotations", list)
    pictures: dict[int, Annotated] = {}
    for number, image in enumerate(images):
        try:
            _add_picture(pictures, image, place)
        except Fault as fault:
            fault.note(problems, f"{place}, images[{number}]")
    for number, annotation in enumerate(annotations):
        try:
            _add_annotation(pictures, annotation, f"{place}, annotations[{number}]")
        except Fault as fault:
            fault.note(problems, f"{place}, annotations[{number}]")
    return (picture for picture in pictures.values() if picture.annotations)


def _add_picture(pictures: dict[int, Annotated], image: Any, place: str) -> None:
    identifier = faults.field(image, "id", int)
    if identifier in pictures:
        raise Fault("broken entry", f"another picture has the id {identifier} too")
    width, height = faults.field(image, "width", int), faults.field(image, "height", int)
    if width < 1 or height < 1:
        raise Fault("broken entry", f"the picture's size is {width} x {height}")
    name = faults.field(image, "file_name", str)
    pictures[identifier] = Annotated(name, width, height, f"{place}, image {identifier}")


def _add_annotation(pictures: dict[int, Annotated], annotation: Any, place: str) -> None:
    identifier = faults.field(annotation, "image_id", int)
    if identifier not in pictures:
        raise Fault("broken entry", f"no picture has its image_id {identifier}")
    pictures[identifier].annotations.append((place, annotation))
