"""Fakes: pictures that a base model makes of captions."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from ...base_models import BaseModel
from ..problems import Problems
from ..sources.example import Example
from .pieces import Pieces
from .records import Picture, rows_of, write_piece

FAKES_IN_PIECE = 32

Item = TypeVar("Item")


@dataclass(frozen=True)
class FakeSettings:
    """How fakes are sampled.

    Args:
        steps: of the sampler.
        guidance: classifier-free guidance's scale; 1 is none.
        size: side of the square pictures in pixels; None: the base model's resolution.
        negative: the prompt that guidance leads away from.
        batch: pictures at once; another number changes the time and memory, and pictures by no more than rounding.
    """

    steps: int = 30
    guidance: float = 5.0
    size: int | None = None
    negative: str = ""
    batch: int = 4

    def result_of(self) -> dict[str, Any]:
        """Those that change the pictures."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}


@dataclass(frozen=True)
class Caption:
    """What is made a picture of: the pair it belongs to, and its text."""

    pair: str
    text: str


@dataclass(frozen=True)
class Wanted:
    """A fake to make: the pair it belongs to, its text, and which of several of that text it is."""

    pair: str
    text: str
    seed: int

    @property
    def key(self) -> str:
        """Tells it from all other pictures."""
        return f"{self.pair}_fake{self.seed}"

    def noise(self, shape: Sequence[int]) -> Tensor:
        """What it is made from, float32 on the processor: the same for the same pair, text and seed.

        The pair counts too, because many pictures of a dataset can have one caption.
        """
        digest = hashlib.sha256(f"{self.pair}\n{self.text}\n{self.seed}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        return torch.randn(*shape, generator=generator)


def make_fakes(
    title: str,
    load_base: Callable[[], BaseModel],
    captions: Sequence[Caption],
    seeds: int,
    settings: FakeSettings,
    pieces: Pieces,
) -> None:
    """Make the pieces of this stage: a PNG for each caption and seed, with a row that says of what.

    Args:
        title: for the progress bar.
        load_base: gives the base model; asked only where a piece is missing.
        captions: what to make pictures of.
        seeds: how many pictures of each.
        settings: how.
        pieces: the stage; its settings should hold `settings.result_of()` and the base model's fingerprint.

    Raises:
        ValueError: the base model does not know a prompt, or its pictures cannot have the size.
        OSError: a picture cannot be written.
    """
    wanted = [Wanted(caption.pair, caption.text, seed) for caption in captions for seed in range(seeds)]
    pieces.make(title, wanted, asdict, partial(_make_piece, load_base=cache(load_base), settings=settings))


def fakes_of(pieces: Pieces) -> list[Picture]:
    """The pictures in all pieces of the stage, in the captions' order."""
    return [_picture(folder, row) for folder, row in rows_of(pieces)]


def sampled(base: BaseModel, wanted: Sequence[Wanted], settings: FakeSettings) -> Tensor:
    """Pictures of a batch, uint8 [N, 3, S, S] on the processor.

    Raises:
        ValueError: as `make_fakes`, or the model gives numbers that are not finite.
    """
    side = settings.size or base.resolution
    if side % base.side_step:
        raise ValueError(f"size should be a multiple of {base.side_step} for {base.family}, found {side}")
    shape = (base.latent_channels, side // base.cells, side // base.cells)
    noise = torch.stack([one.noise(shape) for one in wanted]).to(base.device)
    with torch.no_grad():
        text = base.encode_text([one.text for one in wanted], (side, side))
        negative = base.encode_text([settings.negative], (side, side))
        latents = base.sample(text, negative, noise, settings.steps, settings.guidance)
        return as_bytes(base.decode(latents))


def as_bytes(pictures: Tensor) -> Tensor:
    """Pictures 0..1 on any device as uint8 on the processor.

    Raises:
        ValueError: they are not finite.
    """
    if not bool(pictures.isfinite().all()):
        raise ValueError("the base model's pictures have values that are not finite; try it in float32")
    return (pictures * 255).round().to(torch.uint8).cpu()


def save_png(picture: Tensor, path: Path) -> None:
    """Write a picture, uint8 [3, H, W]."""
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(path)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, so many at once."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _make_piece(
    wanted: Sequence[Wanted], folder: Path, load_base: Callable[[], BaseModel], settings: FakeSettings
) -> None:
    base = load_base()
    made = itertools.chain.from_iterable(sampled(base, batch, settings) for batch in batches(wanted, settings.batch))
    for one, picture in zip(wanted, made, strict=True):
        save_png(picture, folder / f"{one.key}.png")
    write_piece(folder, wanted, Problems())


def _picture(folder: Path, row: dict[str, Any]) -> Picture:
    fake = Wanted(**row)
    name = f"{fake.key}.png"
    example = Example(folder / name, text=fake.text, place=f"fake of {fake.pair}, seed {fake.seed}")
    return Picture(example, fake.pair, "fake", fake.key, name)
