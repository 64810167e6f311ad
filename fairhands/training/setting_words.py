"""One setting of a trainer in words: for `--help`, and for the comments of an example file."""

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import tomlkit
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

NUMBER, TEXT, PATH, LIST = "NUMBER", "TEXT", "PATH", "LIST"


@dataclass(frozen=True)
class Required:
    """Marks a setting without which a trainer cannot start, in `Annotated`: its default stands for nothing.

    Args:
        unless: the key of what may be given in its place.
    """

    unless: str = ""


def required(field: FieldInfo) -> Required | None:
    """How it is marked; None for a setting that can be left out."""
    return next((mark for mark in field.metadata if isinstance(mark, Required)), None)


def meaning(field: FieldInfo) -> str:
    """Its description."""
    if not field.description:
        raise TypeError(f"every setting needs a description, found {field!r}")
    return field.description


def default(field: FieldInfo) -> object:
    """Its default as TOML has it; None where it is not set."""
    if field.is_required():
        raise TypeError(f"every setting needs a default, found {field!r}")
    value = field.get_default(call_default_factory=True)
    return value.as_posix() if isinstance(value, Path) else value


def toml(value: object) -> str:
    """A value as a TOML file has it."""
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values that it can have, if they are few; none of a list."""
    return _choices(field.annotation)


def form(field: FieldInfo) -> str:
    """What is written after its key on the command line: NUMBER, TEXT, PATH, LIST, or its choices."""
    if few := choices(field):
        return "|".join(few)
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not types.NoneType]
    if any(get_origin(kind) is tuple for kind in kinds):
        return LIST
    return {bool: "true|false", int: NUMBER, float: NUMBER, Path: PATH}.get(kinds[0], TEXT)


def bounds(field: FieldInfo) -> str:
    """The numbers that it can have, such as "at least 1" or "above 0 to 1"; empty where any that is not below 0."""
    low = high = ""
    for mark in field.metadata:
        match mark:
            case Ge(ge=value):
                low = str(value)
            case Gt(gt=value):
                low = f"above {value}"
            case Le(le=value):
                high = str(value)
            case Lt(lt=value):
                high = f"below {value}"
            case _:
                pass
    if low and high:
        return f"{low} to {high}"
    if low == "0":
        return ""
    if low:
        return low if low.startswith("above") else f"at least {low}"
    return high if not high or high.startswith("below") else f"at most {high}"


def help_words(field: FieldInfo) -> str:
    """Its line of `--help`."""
    mark, value = required(field), default(field)
    if mark is not None:
        last = f"required unless {mark.unless} is given" if mark.unless else "required"
    elif value is None or value in ("", ()):
        last = "default: not set"
    else:
        last = f"default: {value if isinstance(value, str) else toml(value)}"
    return f"{meaning(field)} ({'; '.join(filter(None, (bounds(field), last)))})"


def comment_words(field: FieldInfo) -> str:
    """Its comment in an example file."""
    words = meaning(field)
    if (mark := required(field)) is not None:
        words = f"REQUIRED{f', unless {mark.unless} is given' if mark.unless else ''}. {words}"
    if few := choices(field):
        words += f" One of: {', '.join(few)}."
    return f"{words} ({limits})" if (limits := bounds(field)) else words


def example_line(name: str, field: FieldInfo) -> str:
    """Its line in an example file, as a comment where it is not set."""
    if (value := default(field)) is not None:
        return f"{name} = {toml(value)}"
    shape, few = form(field), choices(field)
    return f"# {name} = {shape if shape == NUMBER else toml(few[0] if few else shape)}"


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _choices(annotation: Any) -> tuple[str, ...]:
    found: list[str] = []
    for kind in _alternatives(annotation):
        if get_origin(kind) is Literal:
            found += map(str, get_args(kind))
        elif kind is not types.NoneType:
            return ()
    return tuple(found)
