"""A picture and what belongs to it, read from files and checked against what the metadata say."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..data.preparing.reading import UNREADABLE
from ..data.sources.faults import Fault
from .buckets import Size
from .masks import WHITE


def read_sized(path: Path, size: Size, what: str = "picture") -> np.ndarray:
    """A picture, turned as its camera says, uint8 RGB [H, W, 3].

    Raises:
        Fault: it is missing, cannot be read, or has another size.
    """
    return np.array(_opened(path, size, what, "RGB"))


def read_mask(path: Path, size: Size) -> np.ndarray:
    """A mask, uint8 [H, W], 255 where the region is.

    Raises:
        Fault: it is missing, cannot be read, has another size, or holds something darker than white alone.
    """
    mask = np.array(_opened(path, size, "mask", "L"))
    if 0 < mask.max() < WHITE:
        raise Fault("mask without white", f"{path} is at most {mask.max()} bright, expected 255 where the region is")
    return mask


def _opened(path: Path, size: Size, what: str, mode: str) -> Image.Image:
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file).convert(mode)
    except FileNotFoundError as error:
        raise Fault(f"missing {what}", f"{path} is not there") from error
    except UNREADABLE as error:
        raise Fault(f"unreadable {what}", f"{path}: {error}") from error
    if upright.size != size:
        found, wanted = ("{} x {}".format(*sides) for sides in (upright.size, size))
        raise Fault(f"{what} of another size", f"{path} has {found} pixels, its line says {wanted}")
    return upright
