"""Picture files in a dataset's folder."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..problems import Problems
from .faults import Fault

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def walk_pictures(folder: Path, problems: Problems) -> Iterator[tuple[Path, list[str]]]:
    """Each folder in `folder`, itself included, with the names of its pictures; both in alphabetical order.

    Hidden files and folders are left out; a folder that cannot be read is noted. Links to folders are not followed.
    """

    def note(error: OSError) -> None:
        problems.add("unreadable folder", error.filename, error.strerror or str(error))

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = sorted(name for name in names if _is_picture(name))
        if pictures:
            yield Path(place), pictures


def find_picture(folders: Iterable[Path], name: str) -> Path:
    """The file of that name, which may begin with subfolders, in the first of the folders that has it.

    Raises:
        Fault: no folder has it.
    """
    for folder in folders:
        path = folder / name
        if os.path.isfile(path):  # unlike Path.is_file it takes any name
            return path
    raise Fault("missing picture", f"{name or 'a picture without a name'} is not in {_listed(folders)}")


def existing(folder: Path, *names: str) -> tuple[Path, ...]:
    """Those of some subfolders that are there; "" is the folder itself."""
    return tuple(path for path in (folder / name for name in names) if path.is_dir())


def matching(folder: Path, *patterns: str) -> list[Path]:
    """The visible files that any of the patterns fits, each once, in alphabetical order."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not path.name.startswith("."))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_ENDINGS) and not name.startswith(".")


def _listed(folders: Iterable[Path]) -> str:
    return " or ".join(str(folder) for folder in folders) or "any folder"
