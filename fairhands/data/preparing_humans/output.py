"""Prepared people written as a folder, whole, and not again where it would be the same."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...people.prepared import FORMAT, METADATA, Line, PreparedPeople, PreparedPeopleError, write_prepared
from ..preparing.packing import sha256_of
from ..preparing.report import FOLDER
from ..preparing.whole_folder import replaced_whole, restore
from .records import REGIONS, Person
from .report import PeopleReport, write_report
from .settings import Settings

IN_FOLDER = 1000
TOLD = "report.json"


def counts(people: Sequence[Person]) -> dict[str, int]:
    """How much there is of what."""
    counted = {"pictures": len(people)}
    for region in REGIONS:
        counted[f"with a {region}"] = sum(region in person.seen.regions for person in people)
        counted[f"{region}s"] = sum(len(person.seen.boxes(region)) for person in people)
    for kind in kinds(people):
        counted[f"with {kind}"] = sum(kind in person.maps for person in people)
    return counted


def kinds(people: Sequence[Person]) -> list[str]:
    """The kinds of maps that there are."""
    return sorted({kind for person in people for kind in person.maps}, reverse=True)


def write_people(people: Sequence[Person], report: PeopleReport, settings: Settings, command: str) -> None:
    """Write pictures, masks, maps, metadata and the report, unless the output holds just that.

    Args:
        people: what to write, in its order.
        report: what the stages told.
        settings: of the preparation.
        command: what it was started with, for the manifest.

    Raises:
        OSError: the output could not be written, and is as it was.
    """
    made_of = _digest(people, report, settings)
    restore(settings.output)
    if is_current(settings.output, made_of):
        return
    with replaced_whole(settings.output) as folder:
        write_report(report, people, folder / FOLDER, made_of=made_of, settings=settings.model_dump(mode="json"))
        numbered = tqdm(enumerate(people), total=len(people), desc="writing", unit="picture")
        lines = [_write(person, f"{number // IN_FOLDER:03}", folder, settings) for number, person in numbered]
        write_prepared(folder, lines, REGIONS, kinds(people), counts(people), command)


def is_current(folder: Path, made_of: str) -> bool:
    """Whether a folder is the whole output of the same pictures, captions and settings."""
    try:
        told = json.loads((folder / FOLDER / TOLD).read_text(encoding="utf-8"))
        prepared = PreparedPeople(folder)
        unchanged = told["made_of"] == made_of and sha256_of(folder / METADATA) == prepared.manifest["sha256"][METADATA]
    except (PreparedPeopleError, OSError, ValueError, KeyError, TypeError):
        return False
    names = ((line.file_name, *line.masks.values(), *line.conditioning.values()) for line in prepared.lines)
    return unchanged and all(prepared.path(name).is_file() for several in names for name in several)


def _write(person: Person, group: str, folder: Path, settings: Settings) -> Line:
    """Copy one picture with all that belongs to it."""
    seen, name = person.seen, person.seen.picture.pair
    picture = seen.picture.example.picture
    file_name = picture.resolve().as_posix()
    if settings.copy_pictures:
        file_name = _copied(picture, folder, f"images/{group}/{name}{picture.suffix.lower()}")
    masks = {
        region: _copied(made.file, folder, f"masks/{region}/{group}/{name}.png") for region, made in seen.masks.items()
    }
    maps = {kind: _copied(made.file, folder, f"{kind}/{group}/{name}.png") for kind, made in person.maps.items()}
    boxes = {region: seen.boxes(region) for region in REGIONS if region not in masks}
    return Line(file_name, person.text, seen.width, seen.height, boxes, masks, maps)


def _copied(path: Path, folder: Path, name: str) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / name)
    return name


def _digest(people: Sequence[Person], report: PeopleReport, settings: Settings) -> str:
    """A hash of all that the output depends on; where it and the work lie does not matter."""
    digest = hashlib.sha256(json.dumps([FORMAT, settings.result_of(), report.plain()]).encode())
    for person in people:
        made: list[Any] = [person.text, {kind: one.sha256 for kind, one in person.maps.items()}]
        digest.update(json.dumps([*person.seen.described(), *made], sort_keys=True).encode())
    return digest.hexdigest()
