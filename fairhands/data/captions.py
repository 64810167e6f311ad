"""Captions of pictures: from a text beside them, their dataset, a model that describes pictures, or a template."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from .captioner import Captioner
from .preparing.pieces import Pieces
from .preparing.reading import read_picture
from .preparing.records import Picture, rows_of, write_piece
from .problems import Problems

Origin = Literal["txt", "dataset", "model", "template"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)

CAPTIONS_IN_PIECE = 256


@dataclass(frozen=True)
class CaptionSettings:
    """Where captions come from.

    Args:
        order: origins, asked one after the other until one has a caption: "txt" (a file NAME.txt beside the
            picture), "dataset", "model" (describes the picture), "template".
        template: with {name} and {folder} for the picture's file without its ending and for its folder's name, _ as
            spaces; HaGRID's folders, for example, are named after gestures.
        batch: pictures that the model describes at once.

    Raises:
        ValueError: an origin or a field of the template that there is not.
    """

    order: tuple[Origin, ...] = ("txt", "dataset", "template")
    template: str = "a photo of a hand"
    batch: int = 8

    def __post_init__(self) -> None:
        unknown = [origin for origin in self.order if origin not in ORIGINS]
        if unknown:
            raise ValueError(f"order should name some of {', '.join(ORIGINS)}, found {unknown[0]!r}")
        check_template(self.template)


@dataclass(frozen=True)
class Captioned:
    """A picture's caption, and where it is from."""

    key: str
    text: str
    origin: Origin


def from_txt(picture: Path, problems: Problems) -> str | None:
    """The caption in a picture's NAME.txt; None where there is none or nothing in it."""
    path = picture.with_suffix(".txt")
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split()) or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.add("unreadable caption", path, str(error))
        return None


def from_template(template: str, picture: Path) -> str:
    """The template filled in for a picture."""
    return template.format(name=_words(picture.stem), folder=_words(picture.parent.name))


def check_template(template: str) -> None:
    """Raises ValueError in a sentence for a template that cannot be filled in."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ValueError(f"template {template!r} is none: {error}") from error
    unknown = [field for field in fields if field not in ("name", "folder")]
    if unknown:
        raise ValueError(f"template: expected {{name}} and {{folder}} and no other field, found {{{unknown[0]}}}")


def caption_pieces(
    title: str,
    pictures: Sequence[Picture],
    settings: CaptionSettings,
    load_captioner: Callable[[], Captioner] | None,
    pieces: Pieces,
) -> None:
    """Make the pieces of this stage: a row for each picture with its caption; one without is a problem, and no row.

    Args:
        title: for the progress bar.
        pictures: to caption.
        settings: where captions come from.
        load_captioner: gives the model; asked only where a picture needs it. None: the origin "model" has nothing.
        pieces: the stage; its settings should hold the order, the template and what tells the model and its question.

    Raises:
        OSError: a piece cannot be written.
    """
    load = None if load_captioner is None else cache(load_captioner)
    pieces.make(title, pictures, _described, partial(_make_piece, settings=settings, load_captioner=load))


def captions_of(pieces: Pieces) -> dict[str, Captioned]:
    """The captions in all pieces of the stage by the pictures' keys."""
    return {row["key"]: Captioned(**row) for _, row in rows_of(pieces)}


def _described(picture: Picture) -> list[Any]:
    beside = picture.example.picture.with_suffix(".txt")
    text = beside.stat() if beside.is_file() else None
    return [*picture.described(), picture.example.text, text and [text.st_size, text.st_mtime_ns]]


def _make_piece(
    pictures: Sequence[Picture],
    folder: Path,
    settings: CaptionSettings,
    load_captioner: Callable[[], Captioner] | None,
) -> None:
    problems, captions, left = Problems(), dict[str, Captioned](), list(pictures)
    for origin in settings.order:
        if origin == "model":
            texts = _described_by(load_captioner, left, settings.batch, problems) if load_captioner and left else {}
        else:
            texts = {picture.key: _known(origin, picture, settings, problems) for picture in left}
        captions |= {key: Captioned(key, text, origin) for key, text in texts.items() if text}
        left = [picture for picture in left if picture.key not in captions]
    for picture in left:
        problems.add("no caption", picture.example.place or picture.example.picture, ", ".join(settings.order))
    write_piece(folder, (captions[picture.key] for picture in pictures if picture.key in captions), problems)


def _known(origin: Origin, picture: Picture, settings: CaptionSettings, problems: Problems) -> str | None:
    if origin == "txt":
        return from_txt(picture.example.picture, problems)
    if origin == "template":
        return from_template(settings.template, picture.example.picture)
    return " ".join((picture.example.text or "").split()) or None


def _described_by(
    load_captioner: Callable[[], Captioner], pictures: Sequence[Picture], batch: int, problems: Problems
) -> dict[str, str]:
    """The model's captions of the pictures that can be read."""
    texts: dict[str, str] = {}
    for start in range(0, len(pictures), batch):
        read = [(one.key, read_picture(one.example.picture, problems)) for one in pictures[start : start + batch]]
        seen = {key: Image.fromarray(pixels) for key, pixels in read if pixels is not None}
        if seen:
            texts |= zip(seen, load_captioner()(list(seen.values())), strict=True)
    return texts


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())
