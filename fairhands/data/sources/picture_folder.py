"""A plain folder of pictures, with a caption in a text file beside each, as kohya's trainers have it."""

from collections.abc import Iterator
from pathlib import Path

from ..problems import Problems
from .example import Example
from .faults import place_in
from .files import walk_pictures

LAYOUT = "pictures (.jpg, .jpeg, .png, .webp, .bmp) in any subfolders, a caption in NAME.txt beside where there is one"


def read(folder: Path, problems: Problems) -> Iterator[Example]:
    """Pictures with their captions, without boxes."""
    for place, names in walk_pictures(folder, problems):
        for name in names:
            path = place / name
            caption = _caption(path.with_suffix(".txt"), folder, problems)
            yield Example(picture=path, text=caption, place=place_in(folder, path))


def _caption(path: Path, folder: Path, problems: Problems) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.add("unreadable caption", place_in(folder, path), str(error))
        return None
