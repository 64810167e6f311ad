"""Folders replaced as a whole: whoever reads sees the old one or the new one."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = -100  # AT_FDCWD: paths are relative to the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `folder` at the end unless something is raised.

    Raises:
        OSError: the folder around it is not writable or full; `folder` is as it was, and nothing else is left.
    """
    part, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    restore(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _replace(part, folder, old)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path) -> None:
    """Put back what a program that was killed between two renames left aside."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _replace(part: Path, folder: Path, old: Path) -> None:
    """Put `part` in the place of `folder`: at once on Linux, with an instant without any elsewhere."""
    if not folder.exists():
        part.rename(folder)
    elif not _exchange(part, folder):
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        part.rename(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders' names in one step; False where the system or the disk cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
