"""People to train on: prepared folders, encoded once and shown in batches."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from math import lcm
from pathlib import Path
from typing import Any

from ..base_models import BaseModel, Text
from ..base_models.encoding import encoded
from ..data.preparing.pieces import Pieces
from ..data.problems import Problems
from ..training.processes import state
from .buckets import Buckets
from .conditioning import CHECKED_IN_PIECE, check_pictures, checked
from .examples import Examples
from .item import Item
from .latents import PICTURES_IN_PIECE, Encoding, Kept, encode, kept
from .prepared import PROGRAM, PreparedPeople
from .settings import DataSettings
from .texts import CAPTIONS_IN_PIECE, Captions

log = logging.getLogger(__name__)

Size = tuple[int, int]
"""Height and width in pixels."""


class People:
    """Prepared people with their latents and texts, which are encoded here where that was not done before.

    Several processes share the encoding. What is wrong with a picture is named, and leaves out that picture alone.
    The base model's autoencoder and, unless they are trained, its text encoders are not needed afterwards, once `text`
    was asked for the prompts of samples.

    Args:
        settings: which folders, and how they are shown.
        base: the base model.
        regions: whose masks batches hold.
        cache: a folder to keep latents and texts in; a picture of SDXL's size takes 0.13 MB for each flip, a caption
            0.32 MB, in half precision.
        base_mark: what tells the base model from others, such as its fingerprint.
        conditioning: which pictures for a ControlNet batches hold ("pose", "depth"); None: none.
        encode_text: whether captions are encoded; not where text encoders are trained.
        seed: of the choice of pictures that are held out.

    Raises:
        ValueError: the folders hold no usable pictures, or no such region or conditioning.
        OSError: the cache cannot be written, for a full disk; what was made stays, and is not made again.
    """

    def __init__(
        self,
        settings: DataSettings,
        base: BaseModel,
        regions: Sequence[str],
        cache: Path,
        base_mark: str,
        *,
        conditioning: str | None = None,
        encode_text: bool = True,
        seed: int = 0,
    ) -> None:
        self.problems = Problems()
        self._settings = settings
        self._base = base
        self._mark = base_mark
        self._cache = cache
        self._prompts: dict[tuple[str, Size | None], Text] = {}
        folders = _folders(settings.prepared, regions, conditioning, self.problems)
        texts = [line.text for folder in folders for line in folder.lines]
        try:
            captions = self._captions(texts) if encode_text else None
            pictures = [each for at, folder in enumerate(folders) for each in self._kept(at, folder, conditioning)]
        except OSError as error:  # not of a picture: those are noted
            raise OSError(f"The cache in {cache} cannot be written or read: {error}") from error
        self._report(folders, len(pictures))
        held_out = _held_out(pictures, settings.held_out, seed)
        examples = partial(
            Examples,
            regions=regions,
            cells=base.cells,
            settings=settings,
            captions=captions,
            conditioning=conditioning,
        )
        self.training = examples([picture for picture in pictures if picture not in held_out])
        self.held_out = examples([picture for picture in pictures if picture in held_out])

    def text(self, prompts: Sequence[str], size: Size | None = None) -> Text:
        """Prompts of sample pictures, on the processor; encoded when they are asked for the first time.

        Args:
            prompts: N of them.
            size: height and width of the pictures; None: the base's resolution.

        Raises:
            ValueError: the base model does not know a prompt.
        """
        if missing := [prompt for prompt in dict.fromkeys(prompts) if (prompt, size) not in self._prompts]:
            text = encoded(self._base, missing, size).to("cpu")
            self._prompts |= {(prompt, size): text[row : row + 1] for row, prompt in enumerate(missing)}
        return Text.joined([self._prompts[prompt, size] for prompt in prompts])

    def _captions(self, texts: Sequence[str]) -> Captions:
        settings = {"base": self._mark, "precision": self._settings.precision}
        captions = Captions(texts, self._pieces("captions", settings, CAPTIONS_IN_PIECE))
        captions.encode(self._base, self._settings.precision)
        state().wait_for_everyone()
        return captions

    def _kept(self, at: int, folder: PreparedPeople, conditioning: str | None) -> list[Kept]:
        """The usable pictures of a folder, encoded."""
        settings = self._settings
        items = list(self._items(folder))
        told = {"base": self._mark, "flip": settings.flip, "precision": settings.precision}
        pieces = self._pieces(f"latents/{at:02}", told, PICTURES_IN_PIECE)
        encode(items, Encoding(self._base, settings.flip, settings.precision, settings.workers), pieces)
        state().wait_for_everyone()
        found = kept(items, pieces, self.problems)
        return found if conditioning is None else self._with_conditioning(at, found, conditioning)

    def _items(self, folder: PreparedPeople) -> Iterator[Item]:
        """The folder's pictures with their buckets."""
        settings, base = self._settings, self._base
        step = lcm(settings.bucket_step, base.side_step)
        buckets = Buckets(settings.resolution or base.resolution, step, settings.largest_aspect, settings.enlarge)
        for line, place in zip(folder.lines, folder.places, strict=True):
            bucket = buckets.of(line.width, line.height)
            if bucket is None:
                found = f"{line.width} x {line.height} pixels"
                self.problems.add("too small picture", place, f"{found}, expected at least {step} each way")
            else:
                yield Item(folder.folder, line, place, bucket)

    def _with_conditioning(self, at: int, pictures: Sequence[Kept], kind: str) -> list[Kept]:
        """The pictures that have a usable one for a ControlNet."""
        some = []
        for picture in pictures:
            if kind in picture.item.line.conditioning:
                some.append(picture)
            else:
                self.problems.add("missing conditioning", picture.item.place, f'the line names no "{kind}"')
        pieces = self._pieces(f"{kind}/{at:02}", {}, CHECKED_IN_PIECE)
        check_pictures(some, kind, self._settings.workers, pieces)
        state().wait_for_everyone()
        return checked(some, pieces, self.problems)

    def _pieces(self, stage: str, settings: dict[str, Any], size: int) -> Pieces:
        return Pieces(self._cache / stage, settings, size, state().process_index, state().num_processes)

    def _report(self, folders: Sequence[PreparedPeople], usable: int) -> None:
        """Say how many pictures are left out, and why."""
        every = sum(len(folder) + folder.left_out for folder in folders)
        wrong = ", ".join(f"{kind} {count}" for kind, count in sorted(self.problems.counts.items()))
        names = ", ".join(str(folder.folder) for folder in folders)
        if not usable:
            first = f" (first {self.problems.lines[0]})" if self.problems.lines else ""
            raise ValueError(f"none of the {every} pictures in {names} can be used: {wrong or 'they are empty'}{first}")
        if wrong:
            log.warning("%d of %d pictures in %s are left out; found: %s", every - usable, every, names, wrong)


def _folders(
    paths: Sequence[Path], regions: Sequence[str], conditioning: str | None, problems: Problems
) -> list[PreparedPeople]:
    """The prepared folders, which together must have what is asked for."""
    if not paths:
        raise ValueError(f"data.prepared names no folder: give one or more, as `{PROGRAM}` writes them")
    folders = [PreparedPeople(path, problems=problems) for path in paths]
    names = ", ".join(map(str, paths))
    for region in regions:
        without = [str(folder.folder) for folder in folders if region not in folder.regions]
        if len(without) == len(folders):
            known = sorted({known for folder in folders for known in folder.regions})
            raise ValueError(f'{names} say nothing of the region "{region}"; known are: {", ".join(known) or "none"}')
        if without:
            log.warning(
                '%s say nothing of the region "%s": their pictures count as without', ", ".join(without), region
            )
    kinds = sorted({kind for folder in folders for kind in folder.conditioning})
    if conditioning is not None and conditioning not in kinds:
        raise ValueError(
            f'{names} have no "{conditioning}" pictures for a ControlNet; there are: {", ".join(kinds) or "none"}'
        )
    return folders


def _held_out(pictures: Sequence[Kept], count: int, seed: int) -> set[Kept]:
    """Some pictures chosen by hashes of their names, so that other pictures that come and go move few of them.

    Raises:
        ValueError: none would be left to train on.
    """
    if count >= len(pictures):
        raise ValueError(f"data.held_out is {count}, expected fewer than the {len(pictures)} usable pictures")

    def rank(picture: Kept) -> str:
        return hashlib.sha256(f"{seed} {picture.item.line.file_name}".encode()).hexdigest()

    return set(sorted(pictures, key=rank)[:count])
