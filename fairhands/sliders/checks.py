"""What would stop the training of a slider later, said before any long work."""

import difflib
from collections.abc import Iterable
from pathlib import Path

import torch

from ..adapters.base import check_base
from ..base_models import BaseModel
from ..data.problems import Problems
from ..training import optimisers
from ..whole_files import prepare_folder
from .entries import Entry
from .pictures import picture_files
from .prompts import PRESETS
from .settings import Settings, StartSettings


def check(settings: Settings, file: Path, device: torch.device) -> None:
    """Look for what is wrong with settings, without the base model.

    Args:
        settings: all that is chosen.
        file: what is to be written at the end.
        device: what is trained on.

    Raises:
        ValueError, OSError: something would stop the training later; in one sentence.
    """
    check_base(settings)
    if not settings.prompts and settings.preset not in PRESETS:
        close = difflib.get_close_matches(settings.preset, PRESETS, n=1, cutoff=0)[0]
        raise ValueError(
            f'preset is "{settings.preset}", expected one of {", ".join(PRESETS)}; the nearest is "{close}".'
        )
    _check_start(settings.start)
    training = settings.training
    optimisers.check(training.optimiser, training.learning_rate, device)
    prepare_folder(file)


def check_sizes(entries: Iterable[Entry], base: BaseModel) -> None:
    """Look whether the base model can make pictures of the prompts' sizes.

    Raises:
        ValueError: it cannot.
    """
    for entry in entries:
        if entry.resolution % base.side_step:
            raise ValueError(
                f"resolution should be a multiple of {base.side_step} for {base.family}, found {entry.resolution}"
            )


def _check_start(start: StartSettings) -> None:
    if start.kind != "pictures":
        return
    if start.pictures is None or not start.pictures.is_dir():
        raise ValueError(f"start.kind is pictures, so start.pictures should be their folder, found {start.pictures}.")
    picture_files(start.pictures, Problems())
