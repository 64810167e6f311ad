"""What can be wrong with a dataset's files, found where they are read and named where reading goes on."""

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..problems import Problems

Value = TypeVar("Value")

SHOWN = 60  # characters of a wrong value
LARGEST = 1e9  # of a number; far beyond any picture's size, far within float32
JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


class Fault(ValueError):
    """One thing that is wrong with a dataset: its kind ("missing picture"), and what was found."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.what = what

    def note(self, problems: Problems, place: str) -> None:
        """Add it to the problems, with the file and the line or entry where it is."""
        problems.add(self.kind, place, self.what)


def place_in(folder: Path, path: Path) -> str:
    """How messages name a file of a dataset: from the dataset's folder on."""
    return path.relative_to(folder).as_posix()


def read_json(path: Path, expected: type[Value]) -> Value:
    """What a JSON file holds; a Fault where it cannot be read, is not JSON or holds something else."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Fault("unreadable file", str(error)) from error
    return parsed(content, expected, "broken file")


def parsed(content: bytes, expected: type[Value], kind: str) -> Value:
    """The value that JSON stands for; a Fault of that kind where it is no JSON or holds something else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Fault(kind, f"not JSON: {error}") from error
    return _checked(value, expected, kind, "the JSON")


def field(entry: Any, key: str, expected: type[Value]) -> Value:
    """An entry's value; a Fault where the entry is no object, or the key is missing or holds something else."""
    if not isinstance(entry, dict):
        raise Fault("broken entry", f"{shown(entry)}, expected {JSON_NAMES[dict]} with {key}")
    if key not in entry:
        raise Fault("broken entry", f"{key} is missing")
    return _checked(entry[key], expected, "broken entry", key)


def optional(entry: Any, key: str, expected: type[Value]) -> Value | None:
    """As `field`, but None where the key is missing or null."""
    if isinstance(entry, dict) and entry.get(key) is None:
        return None
    return field(entry, key, expected)


def numbers(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Nested lists of numbers as a float64 array of that shape; a Fault where they are none, not finite or huge."""
    size = " x ".join(map(str, shape))
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:  # lists of unlike lengths
        raise Fault("broken entry", f"{name} is {shown(value)}, expected {size} numbers") from error
    if array.dtype.kind not in "iuf" or array.shape != shape or not (abs(array.astype(np.float64)) < LARGEST).all():
        raise Fault("broken entry", f"{name} is {shown(value)}, expected {size} finite numbers")
    return array.astype(np.float64)


def shown(value: Any) -> str:
    """A wrong value for a message, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _checked(value: Any, expected: type[Value], kind: str, name: str) -> Value:
    if not isinstance(value, expected) or isinstance(value, bool):
        raise Fault(kind, f"{name} is {shown(value)}, expected {JSON_NAMES[expected]}")
    return value
