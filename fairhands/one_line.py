"""What a file says about itself, whatever it is, as one short line for people."""

from collections.abc import Mapping
from typing import Any

LONGEST = 120


def is_number(value: Any) -> bool:
    """Whether it is a number, which JSON's true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def one_line(value: Any) -> str:
    """A value in one line that is not too long; of a mapping what is a text or a number in it."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {some}" for key, some in value.items() if isinstance(some, str) or is_number(some))
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    line = " ".join(str(value if value is not None else "").split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
