"""Pictures as files hold them, upright and in colour."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..problems import Problems

# What Pillow raises for files that are missing, damaged, of no kind it knows, or larger than any photo.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def read_picture(path: Path, problems: Problems) -> np.ndarray | None:
    """A picture as uint8 RGB [H, W, 3], turned as its camera says; None with a problem where it cannot be read."""
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            return np.array(upright.convert("RGB"))
    except UNREADABLE as error:
        problems.add("unreadable picture", path, str(error))
        return None
