"""Files written whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def opened_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, after which `path` holds all of it or what it held before, whatever happens meanwhile.

    Raises:
        OSError: the folder is missing, not writable or full; `path` is as it was and nothing else is left.
    """
    part = _part(path)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds all of `content` or what it held before; raises as `opened_whole`."""
    with opened_whole(path) as file:
        file.write(content)


def prepare_folder(path: Path) -> None:
    """Make the folder of a file that is to be written later, and try it, to know before the work is done.

    Raises:
        OSError: no file can be written there.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "Is a folder, expected the name of a file", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(20, "Is a file, expected a folder", str(path.parent)) from error
    _part(path).unlink()


def _part(path: Path) -> Path:
    """A new empty file beside `path`, with the rights that any new file gets."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.touch(exist_ok=False)
    return part
