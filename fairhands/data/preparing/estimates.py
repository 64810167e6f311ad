"""Clean estimates of pictures at a noise level: what guidance shows a critic while a base model samples."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...base_models import BaseModel
from ...base_models.process import TIMESTEPS
from ...hands.hand import Box
from ..problems import Problems
from .fakes import as_bytes, batches, save_png
from .pieces import Pieces
from .reading import read_picture
from .records import Picture, rows_of, write_piece

ESTIMATES_IN_PIECE = 64


@dataclass(frozen=True)
class EstimateSettings:
    """Which estimates are made.

    Args:
        each: how many of each picture; 0 for none.
        lowest, highest: the training timesteps between which they are, those where MGHanD guides by default.
        batch: pictures at once.
    """

    each: int = 1
    lowest: int = 150
    highest: int = 650
    batch: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.lowest <= self.highest < TIMESTEPS:
            raise ValueError(f"1 <= lowest <= highest < {TIMESTEPS} is needed, found {self.lowest}, {self.highest}")

    def result_of(self) -> dict[str, Any]:
        """Those that change the pictures."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}

    def levels(self, key: str) -> list[int]:
        """The timesteps of a picture's estimates: drawn for its key, one from each of as many equal parts."""
        width = (self.highest - self.lowest + 1) / self.each if self.each else 0.0
        return [int(self.lowest + (number + _share(key, number)) * width) for number in range(self.each)]


@dataclass(frozen=True)
class Reconstruction:
    """One estimate of each picture without any noise: what the autoencoder gives back, at the base model's size.

    Args:
        batch: pictures at once.
    """

    batch: int = 4

    def result_of(self) -> dict[str, Any]:
        """Those that change the pictures."""
        return {"reconstruction": True}

    def levels(self, key: str) -> list[int]:
        """The level that has no noise."""
        return [0]


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate of a picture.

    Args:
        file: it, a PNG.
        of: the picture's key.
        level: the training timestep whose noise it was estimated under, 1..999; 0 without noise.
        scale: its width and height, each relative to the picture's own.
    """

    file: Path
    of: str
    level: int
    scale: tuple[float, float]

    def box(self, box: Box) -> Box:
        """A box of the picture in this estimate's pixels."""
        (x, y, width, height), (across, down) = box, self.scale
        return x * across, y * down, width * across, height * down


@dataclass(frozen=True, eq=False)
class _Wanted:
    picture: Picture
    text: str
    level: int

    def described(self) -> list[Any]:
        return [*self.picture.described(), self.text, self.level]

    @property
    def key(self) -> str:
        return f"{self.picture.key}_level{self.level}"


@torch.no_grad()
def clean_estimates(
    base: BaseModel, pictures: Tensor, texts: Sequence[str], times: Tensor, seeds: Sequence[int]
) -> Tensor:
    """The pictures noised in latent space, denoised by one prediction and decoded; at time 0 only en- and decoded.

    Args:
        base: whose autoencoder, noise and prediction.
        pictures: uint8 [N, 3, H, W], sides multiples of `base.side_step`.
        texts: N captions.
        times: float [N] in 0..1, see `BaseModel`.
        seeds: N numbers that the noise depends on.

    Returns: uint8 [N, 3, H, W] on the processor.

    Raises:
        ValueError: the base model does not know a prompt, takes no such size, or gives numbers that are not finite.
    """
    latents = base.encode(pictures.to(base.device) / 255)
    noise = torch.stack([torch.randn(latents.shape[1:], generator=_generator(seed)) for seed in seeds])
    times = times.to(base.device)
    noised = base.noised(latents, noise.to(base.device), times)
    text = base.encode_text(texts, (pictures.shape[-2], pictures.shape[-1]))
    clean = base.clean(noised, times, base.predict(noised, times, text))
    return as_bytes(base.decode(torch.where(times[:, None, None, None] == 0, latents, clean)))


def make_estimates(
    title: str,
    load_base: Callable[[], BaseModel],
    pictures: Sequence[tuple[Picture, str]],
    settings: EstimateSettings | Reconstruction,
    pieces: Pieces,
) -> None:
    """Make the pieces of this stage: a PNG for each picture and level, with a row that says of what.

    Args:
        title: for the progress bar.
        load_base: gives the base model; asked only where a piece is missing.
        pictures: each with its caption.
        settings: which estimates.
        pieces: the stage; its settings should hold `settings.result_of()` and the base model's fingerprint.

    Raises:
        ValueError: the base model does not know a prompt, or gives numbers that are not finite.
        OSError: an estimate cannot be written.
    """
    wanted = [_Wanted(picture, text, level) for picture, text in pictures for level in settings.levels(picture.key)]
    make = partial(_make_piece, load_base=cache(load_base), batch=settings.batch)
    pieces.make(title, wanted, _Wanted.described, make)


def estimates_of(pieces: Pieces) -> list[Estimate]:
    """The estimates in all pieces of the stage, in the pictures' order."""
    return [
        Estimate(folder / row["file"], row["of"], row["level"], (row["scale"][0], row["scale"][1]))
        for folder, row in rows_of(pieces)
    ]


def fitted_size(width: int, height: int, base: BaseModel) -> tuple[int, int]:
    """Width and height nearest to a picture's shape with the area that a base model is used to."""
    factor = base.resolution / (width * height) ** 0.5
    across, down = (max(1, round(side * factor / base.side_step)) for side in (width, height))
    return across * base.side_step, down * base.side_step


def _make_piece(wanted: Sequence[_Wanted], folder: Path, load_base: Callable[[], BaseModel], batch: int) -> None:
    base, problems, rows = load_base(), Problems(), []
    for group in _of_one_size(_fitted(wanted, base, problems), batch):
        pictures = torch.stack([torch.from_numpy(fitted).permute(2, 0, 1) for _, fitted, _ in group])
        times = torch.tensor([one.level / TIMESTEPS for one, _, _ in group])
        texts, seeds = [one.text for one, _, _ in group], [_number(one.key) for one, _, _ in group]
        for (one, _, scale), estimate in zip(group, clean_estimates(base, pictures, texts, times, seeds), strict=True):
            save_png(estimate, folder / f"{one.key}.png")
            rows.append({"file": f"{one.key}.png", "of": one.picture.key, "level": one.level, "scale": scale})
    write_piece(folder, rows, problems)


Fitted = tuple[_Wanted, np.ndarray, tuple[float, float]]


def _fitted(wanted: Sequence[_Wanted], base: BaseModel, problems: Problems) -> Iterator[Fitted]:
    """Each wanted estimate with its picture in the base model's size, uint8 [H, W, 3], and how that was scaled."""
    for picture, several in groupby(wanted, key=lambda one: one.picture):
        pixels = read_picture(picture.example.picture, problems)
        if pixels is None:
            continue
        height, width = pixels.shape[:2]
        across, down = fitted_size(width, height, base)
        shrinks = across < width
        fitted = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        yield from ((one, fitted, (across / width, down / height)) for one in several)


def _of_one_size(fitted: Iterator[Fitted], most: int) -> Iterator[Sequence[Fitted]]:
    """Neighbours whose pictures have one size, at most so many at once."""
    for _, group in groupby(fitted, key=lambda one: one[1].shape):
        yield from batches(list(group), most)


def _share(key: str, number: int) -> float:
    """A number in 0..1, less than 1, drawn for a key."""
    return _number(f"{key} {number}") / 2**48


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "little")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
