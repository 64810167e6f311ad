"""Pictures that belong to another one: read in its size, and written as PNG."""

import hashlib
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from ..preparing.reading import UNREADABLE
from ..sources.faults import Fault

# By how much of itself the ratio of sides may differ, as rounding of sides makes it.
SAME_SHAPE = 0.02


def fitted(path: Path, size: tuple[int, int], mode: str) -> Image.Image:
    """A mask or a ControlNet's picture, upright, scaled to the size of the picture that it belongs to.

    Args:
        path: its file.
        size: width and height of that picture.
        mode: Pillow's name of what it should be: L or RGB.

    Raises:
        Fault: it cannot be read, or has another shape.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert(mode)
    except UNREADABLE as error:
        raise Fault("unreadable picture", str(error)) from error
    if abs(picture.width * size[1] / (picture.height * size[0]) - 1) > SAME_SHAPE:
        found, wanted = (f"{width} x {height}" for width, height in (picture.size, size))
        raise Fault("picture of another shape", f"{found}, while the picture that it belongs to is {wanted}")
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)


def write_png(picture: Image.Image, path: Path) -> str:
    """Write it, and return the sha256 of the file."""
    content = BytesIO()
    picture.save(content, "PNG")
    path.write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()
