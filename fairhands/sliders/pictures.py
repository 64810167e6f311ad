"""Latents of the user's own pictures, encoded once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..base_models import BaseModel
from ..data.preparing.reading import read_picture
from ..data.problems import Problems
from ..data.sources.files import walk_pictures
from ..training.checkpoint import cached


def picture_files(folder: Path, problems: Problems) -> list[Path]:
    """The pictures in a folder and its subfolders, in alphabetical order.

    Raises:
        ValueError: there are none.
    """
    found = [place / name for place, names in walk_pictures(folder, problems) for name in names]
    if not found:
        raise ValueError(f"start.pictures is {folder}, which holds no pictures (.jpg, .jpeg, .png, .webp, .bmp).")
    return found


def latents_of(
    files: Sequence[Path], base: BaseModel, made_with: str, side: int, cache: Path, problems: Problems
) -> Tensor:
    """The latents of the pictures' central squares, float32 [M, C, side / 8, side / 8] on the processor.

    Args:
        files: the pictures; unreadable ones are left out and noted.
        base: the base model.
        made_with: what tells it from others, such as its fingerprint.
        side: of the squares in pixels.
        cache: a file that keeps them for as long as pictures, base and side stay the same.
        problems: where unreadable pictures are noted.

    Raises:
        ValueError: no picture can be read.
    """
    digest = hashlib.sha256(f"{made_with} {side}".encode())
    for file in files:
        state = file.stat()
        digest.update(f"\n{file} {state.st_size} {state.st_mtime_ns}".encode())
    return cached(cache, digest.hexdigest(), lambda: {"latents": _encoded(files, base, side, problems)})["latents"]


@torch.no_grad()
def _encoded(files: Sequence[Path], base: BaseModel, side: int, problems: Problems) -> Tensor:
    latents = []
    for file in tqdm(files, desc="encoding pictures", unit="picture"):
        if (picture := read_picture(file, problems)) is not None:
            square = torch.from_numpy(central_square(picture, side)).permute(2, 0, 1)[None]
            latents.append(base.encode((square / 255).to(base.device)).cpu())
    if not latents:
        raise ValueError(f"none of the {len(files)} pictures of start.pictures can be read")
    return torch.cat(latents)


def central_square(picture: np.ndarray, side: int) -> np.ndarray:
    """The largest square in the middle of a picture, uint8 [H, W, 3], resized to [side, side, 3]."""
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = picture[top : top + edge, left : left + edge]
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA if edge > side else cv2.INTER_CUBIC)
