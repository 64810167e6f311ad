"""The stage that cuts hands out of estimates, where they were found in the finished pictures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..problems import Problems
from .cropping import as_tensor, write_crop
from .estimates import Estimate
from .pieces import Pieces
from .reading import read_picture
from .records import Crop, write_piece
from .settings import CropSettings

OfEstimate = tuple[Estimate, list[Crop]]


def cut_estimates(
    title: str, estimates: Sequence[Estimate], crops: Sequence[Crop], settings: CropSettings, pieces: Pieces
) -> None:
    """Make the pieces of this stage: the hands of each estimate as files and as rows.

    Args:
        title: for the progress bar.
        estimates: of the pictures.
        crops: of the pictures themselves; score, sharpness and hash of a hand are theirs.
        settings: how crops are stored.
        pieces: the stage.
    """
    of_picture: dict[str, list[Crop]] = defaultdict(list)
    for crop in crops:
        of_picture[crop.picture].append(crop)
    wanted = [(estimate, of_picture[estimate.of]) for estimate in estimates]
    pieces.make(title, wanted, _described, partial(_cut_piece, settings=settings))


def _described(item: OfEstimate) -> list[Any]:
    estimate, crops = item
    state = estimate.file.stat()
    return [estimate.of, estimate.level, state.st_size, state.st_mtime_ns, [[crop.key, crop.box] for crop in crops]]


def _cut_piece(items: Sequence[OfEstimate], folder: Path, settings: CropSettings) -> None:
    problems, rows = Problems(), []
    for estimate, crops in items:
        pixels = read_picture(estimate.file, problems)
        if pixels is not None:
            picture = as_tensor(pixels)
            for crop in crops:
                wanted = replace(
                    crop, key=f"{crop.key}_level{estimate.level}", box=estimate.box(crop.box), level=estimate.level
                )
                rows.append(write_crop(wanted, picture, folder, settings))
    write_piece(folder, rows, problems)
