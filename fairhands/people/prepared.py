"""Prepared people on disk: pictures with captions, boxes or masks of each region, and pictures for a ControlNet.

A folder holds pictures, `metadata.jsonl` with a line for each, and `manifest.json`. A line:

    {"file_name": "images/000/abc.jpg", "text": "a man waves", "width": 1024, "height": 768,
     "boxes": {"face": [[x, y, width, height]], "hand": []},
     "masks": {"hand": "masks/hand/abc.png"},
     "conditioning": {"pose": "pose/abc.png"}}

Boxes are in pixels of the picture from its upper left corner. A mask, white where the region is, stands instead of its
region's boxes. Masks and conditioning have the picture's size; all names begin at the folder.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..data.preparing.packing import sha256_of
from ..data.problems import Problems
from ..data.sources.boxes import usable_boxes
from ..data.sources.faults import Fault, numbers, optional, parsed, shown
from ..data.sources.faults import field as value_of
from ..hands.hand import Box
from ..whole_files import opened_whole, write_whole

PROGRAM = "python -m trainers.prepare_humans"
KIND = "people"
FORMAT = 1
MANIFEST = "manifest.json"
METADATA = "metadata.jsonl"


class PreparedPeopleError(ValueError):
    """A folder that holds no prepared people, or a damaged one; its text is one sentence."""


@dataclass(frozen=True)
class Line:
    """What the metadata say of one picture.

    Args:
        file_name: of the picture, relative to the folder, or absolute.
        text: its caption.
        width, height: in pixels, upright as its camera says.
        boxes: of each region, x, y, width, height in pixels; an empty tuple where the picture shows none.
        masks: by region, the file of a mask that counts instead of boxes.
        conditioning: by kind ("pose", "depth"), the file of what a ControlNet is shown with this picture.
    """

    file_name: str
    text: str
    width: int
    height: int
    boxes: Mapping[str, Sequence[Box]]
    masks: Mapping[str, str] = field(default_factory=dict)
    conditioning: Mapping[str, str] = field(default_factory=dict)


class PreparedPeople:
    """What `write_prepared` wrote.

    A line that is broken is noted in `problems` and left out; a box outside of its picture likewise, and a box partly
    outside is clipped. The pictures themselves are not opened.

    `regions` and `conditioning` are the names that the manifest gives; `lines` are the usable lines, and `places` say
    for messages where each stands; `left_out` is the number of broken ones.

    Args:
        folder: the folder.
        check: compare the hashes of the files that the manifest names, which reads each of them.
        problems: where broken lines are noted; None logs them only.

    Raises:
        PreparedPeopleError: the folder holds something else, or is damaged.
    """

    def __init__(self, folder: Path, check: bool = False, problems: Problems | None = None) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        self.regions = _names(self.manifest, "regions", folder)
        self.conditioning = _names(self.manifest, "conditioning", folder)
        if check:
            _check_hashes(folder, self.manifest.get("sha256", {}))
        read = list(_lines(folder / METADATA, self.regions, Problems() if problems is None else problems))
        self.lines = tuple(line for _, line in read if line is not None)
        self.places = tuple(place for place, line in read if line is not None)
        self.left_out = len(read) - len(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def path(self, name: str) -> Path:
        """The file of a picture, mask or conditioning that a line names."""
        return self.folder / name


def write_prepared(
    folder: Path,
    lines: Iterable[Line],
    regions: Sequence[str],
    conditioning: Sequence[str],
    counts: Mapping[str, int],
    command: str,
) -> None:
    """Write the metadata and, when they are whole, the manifest of a folder that holds the pictures already.

    Args:
        folder: the folder.
        lines: what is said of each picture; written as they come.
        regions: each has boxes, if only an empty tuple, or a mask in every line.
        conditioning: kinds that lines may give.
        counts: how much there is of what, for the manifest.
        command: what made it.

    Raises:
        ValueError: a line lacks a region.
        OSError: a file cannot be written; nothing is left half written.
    """
    manifest_path, metadata = folder / MANIFEST, folder / METADATA
    manifest_path.unlink(missing_ok=True)
    with opened_whole(metadata) as file:
        for line in lines:
            if missing := [region for region in regions if region not in line.boxes and region not in line.masks]:
                raise ValueError(f"{line.file_name} has neither boxes nor a mask for {', '.join(missing)}")
            file.write(json.dumps(asdict(line), ensure_ascii=False).encode() + b"\n")
    manifest = {
        "kind": KIND,
        "format": FORMAT,
        "regions": list(regions),
        "conditioning": list(conditioning),
        "counts": dict(counts),
        "sha256": {METADATA: sha256_of(metadata)},
        "command": command,
    }
    write_whole(manifest_path, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise PreparedPeopleError(
            f"{folder} holds no {MANIFEST}: prepared people are written by `{PROGRAM}`."
        ) from None
    except (OSError, ValueError) as error:
        raise PreparedPeopleError(f"{path} cannot be read ({error}): write it anew with `{PROGRAM}`.") from error
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind != KIND:
        raise PreparedPeopleError(f'{path} says kind {kind!r}, expected "{KIND}" as `{PROGRAM}` writes it.')
    if manifest.get("format") != FORMAT:
        raise PreparedPeopleError(
            f"{path} is of format {manifest.get('format')!r}, expected {FORMAT}: write it anew with `{PROGRAM}` "
            "of this version, or update FairHands."
        )
    return manifest


def _names(manifest: dict[str, Any], key: str, folder: Path) -> tuple[str, ...]:
    names = manifest.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PreparedPeopleError(f"{folder / MANIFEST} gives {key} as {shown(names)}, expected a list of names.")
    return tuple(names)


def _check_hashes(folder: Path, wanted: Mapping[str, str]) -> None:
    for name, digest in wanted.items():
        path = folder / name
        if not path.is_file():
            raise PreparedPeopleError(f"{path} is missing: write it anew with `{PROGRAM}`.")
        if sha256_of(path) != digest:
            raise PreparedPeopleError(f"{path} was changed or damaged (another hash): write it anew with `{PROGRAM}`.")


def _lines(path: Path, regions: Sequence[str], problems: Problems) -> Iterator[tuple[str, Line | None]]:
    """Each line with its place, None for a broken one. Read undecoded, so that a broken line breaks no other."""
    try:
        with path.open("rb") as file:
            for number, content in enumerate(file, start=1):
                if content.strip():
                    place = f"{path}, line {number}"
                    yield place, _line_or_none(content, regions, place, problems)
    except OSError as error:
        raise PreparedPeopleError(f"{path} cannot be read: {error}.") from error


def _line_or_none(content: bytes, regions: Sequence[str], place: str, problems: Problems) -> Line | None:
    try:
        return _line(parsed(content, dict, "broken line"), regions, place, problems)
    except Fault as fault:
        fault.note(problems, place)
        return None


def _line(entry: dict[str, Any], regions: Sequence[str], place: str, problems: Problems) -> Line:
    width, height = (_side(entry, key) for key in ("width", "height"))
    masks = _files(entry, "masks")
    boxes = value_of(entry, "boxes", dict)
    given = {region: value_of(boxes, region, list) for region in regions if region not in masks}
    text = value_of(entry, "text", str).strip()
    if not text:
        raise Fault("empty caption", "text has no words")
    return Line(
        file_name=value_of(entry, "file_name", str),
        text=text,
        width=width,
        height=height,
        boxes={region: usable_boxes(some, place, problems, width, height) for region, some in given.items()},
        masks={region: name for region, name in masks.items() if region in regions},
        conditioning=_files(entry, "conditioning"),
    )


def _side(entry: dict[str, Any], key: str) -> int:
    side = int(numbers(value_of(entry, key, int), (), key))
    if side < 1:
        raise Fault("broken entry", f"{key} is {side}, expected 1 or more pixels")
    return side


def _files(entry: dict[str, Any], key: str) -> dict[str, str]:
    names: dict[str, Any] = optional(entry, key, dict) or {}
    return {name: value_of(names, name, str) for name in names}
