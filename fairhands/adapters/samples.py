"""Pictures with and without an adapter: the same noise at several scales of a LoRA, on one labelled sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..base_models import BaseModel, Text
from ..whole_files import write_whole
from .lora import LoraAdapter

TITLE_HEIGHT = 24
TITLE_SIZE = 14
LARGEST_SIDE = 384
GAP = 4


@dataclass(frozen=True)
class Row:
    """The pictures of one prompt and noise, [S, 3, H, W] in 0..1, one for each column; and their title."""

    title: str
    pictures: Tensor


def noise_of(seed: int, shape: Sequence[int]) -> Tensor:
    """The noise that a sample picture is made from, [1, C, h, w] on the processor."""
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def along_scales(
    base: BaseModel,
    adapter: LoraAdapter,
    text: Text,
    negative: Text,
    noise: Tensor,
    scales: Sequence[float],
    steps: int,
    guidance: float,
) -> Tensor:
    """What the base makes of a noise at each scale of the LoRA, [S, 3, H, W] in 0..1 on the processor.

    One picture is sampled at a time, so that it needs no more memory than a training step.
    """
    pictures = []
    for scale in scales:
        with adapter.scaled(scale):
            latents = base.sample(text, negative, noise.to(base.device), steps, guidance)
        pictures.append(base.decode(latents).cpu())
    return torch.cat(pictures)


def write_sheet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write the rows, each under its title, as a PNG with the columns' names above; rows may differ in size."""
    strips = [_strip(row) for row in rows]
    width = max(strip.width for strip in strips)
    side = width // len(columns)
    sheet = Image.new("RGB", (width, TITLE_HEIGHT + sum(strip.height for strip in strips)), "white")
    for number, column in enumerate(columns):
        _write(sheet, (number * side + GAP, GAP), column)
    top = TITLE_HEIGHT
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    content = BytesIO()
    sheet.save(content, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def scale_names(scales: Sequence[float]) -> list[str]:
    """What columns are called that show scales."""
    return [f"scale {scale:g}" for scale in scales]


def _strip(row: Row) -> Image.Image:
    height, width = row.pictures.shape[-2:]
    side = min(LARGEST_SIDE, width)
    size = (side, round(side * height / width))
    strip = Image.new("RGB", (len(row.pictures) * (side + GAP), TITLE_HEIGHT + size[1] + GAP), "white")
    _write(strip, (GAP, GAP), row.title)
    for number, picture in enumerate(row.pictures):
        pixels = (picture.float().clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
        shown = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
        strip.paste(shown, (number * (side + GAP), TITLE_HEIGHT))
    return strip


def _write(sheet: Image.Image, place: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(sheet).text(place, text, "black", ImageFont.load_default(TITLE_SIZE))
