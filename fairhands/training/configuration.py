"""A trainer's configuration: one TOML file, overridden from the command line.

Each trainer describes its settings as one subclass of `Configuration`, in which every field has a
description and a default; tables of the TOML file are fields that are `Configuration`s themselves, and arrays of
tables are tuples of such.
"""

import argparse
import difflib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from tomlkit.exceptions import TOMLKitError

COMMAND_LINE = "the command line"
LINE_LENGTH = 100


class ConfigurationError(ValueError):
    """Settings that cannot be used; its text is one sentence that says which, why, and what would do."""


class Configuration(BaseModel):
    """Base of every trainer's settings: types are strict, unknown keys are refused, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Settings = TypeVar("Settings", bound=Configuration)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[0].upper()}{message[1:]}; --help lists what can be given.")


def from_command_line(
    kind: type[Settings], program: str, purpose: str, arguments: Sequence[str] | None = None
) -> Settings:
    """The settings that a command line asks for: defaults, then `--config FILE`, then each `--key value`.

    `--help` and `--example` print to standard output and end the program with status 0. Settings that
    cannot be used end it with status 2 and one line on standard error.

    Args:
        kind: the trainer's settings.
        program: how the trainer is started, for messages: `python -m trainers.NAME`.
        purpose: one sentence for `--help`.
        arguments: the command line without the program; `sys.argv[1:]` if None.
    """
    parser = _parser(kind, program, purpose)
    try:
        known, unknown = parser.parse_known_args(arguments)
        if known.example:
            print(example(kind))
            parser.exit(0)
        if unknown:
            raise ConfigurationError(_unknown_argument(kind, unknown[0]))
        overrides = {key: text for key, _ in leaves(kind) if (text := getattr(known, key)) is not None}
        return read(kind, known.config, overrides)
    except ConfigurationError as error:
        parser.exit(2, f"{program}: {error}\n")


def read(kind: type[Settings], path: Path | None = None, overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings in a TOML file with some of them replaced.

    Args:
        kind: the trainer's settings.
        path: the TOML file; None for the defaults.
        overrides: dotted keys with the text given for each on the command line.

    Raises:
        ConfigurationError: the file cannot be read, a key is unknown, or a value has the wrong type or range.
    """
    values = {} if path is None else _table(path)
    fields = dict(leaves(kind))
    for key, text in (overrides or {}).items():
        _insert(values, key, _value(fields[key], text), path)
    try:
        # JSON rather than Python values: strict JSON still takes a text for a path and a list for a tuple.
        return kind.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigurationError(_sentence(kind, error, path, overrides or {})) from None


def example(kind: type[Configuration]) -> str:
    """A TOML file of every key with its description and its default; reading it gives the defaults."""
    lines: list[str] = []
    arrays: list[str] = []
    table = ""
    for key, field in leaves(kind):
        if (element := _element(field)) is not None:
            arrays += _example_of_array(key, field, element)
            continue
        parent, _, name = key.rpartition(".")
        if parent != table:
            lines.append(f"[{parent}]")
            table = parent
        lines += _example_of_key(name, field)
    return "\n".join([*lines, *arrays])


def _example_of_key(name: str, field: FieldInfo) -> list[str]:
    default = _default(field)
    return [*_comment(_meaning(field)), f"# {name} =" if default is None else f"{name} = {_toml(default)}", ""]


def _example_of_array(key: str, field: FieldInfo, element: type[Configuration]) -> list[str]:
    """One table of an array with its keys, as a comment: the array is empty until tables of it are given."""
    lines = [*_comment(_meaning(field)), f"# [[{key}]]"]
    for name, inner in leaves(element):
        lines += [f"# {line}".rstrip() for line in _example_of_key(name, inner)[:-1]]
    return [*lines, ""]


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, LINE_LENGTH, initial_indent="# ", subsequent_indent="# ")


def leaves(kind: type[Configuration], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each setting with its dotted key: those of a table after the plain ones, as TOML wants them."""
    tables: list[tuple[str, type[Configuration]]] = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Configuration):
            tables.append((f"{prefix}{name}.", field.annotation))
        else:
            yield prefix + name, field
    for path, table in tables:
        yield from leaves(table, path)


def _element(field: FieldInfo) -> type[Configuration] | None:
    """What an array of tables has; None for another field."""
    if get_origin(field.annotation) is not tuple:
        return None
    inner = get_args(field.annotation)[0]
    return inner if isinstance(inner, type) and issubclass(inner, Configuration) else None


def _parser(kind: type[Configuration], program: str, purpose: str) -> argparse.ArgumentParser:
    parser = _Parser(
        program,
        usage=f"{program} [--config FILE] [--KEY VALUE ...]",
        description=purpose,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=LINE_LENGTH),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="read the settings from this TOML file")
    parser.add_argument("--example", action="store_true", help="print a TOML file with every key and its default")
    settings = parser.add_argument_group("settings", "Each is a key of the TOML file too.")
    for key, field in leaves(kind):
        default = _default(field)
        shown = "not set" if default is None else _toml(default)
        words = f"{_meaning(field)}{_keys(field)} (default: {shown})".replace("%", "%%")
        settings.add_argument(f"--{key}", dest=key, metavar="VALUE", help=words)
    return parser


def _keys(field: FieldInfo) -> str:
    """The keys of an array's tables, for help."""
    element = _element(field)
    if element is None:
        return ""
    return " " + " ".join(f"{name}: {_meaning(inner)}" for name, inner in leaves(element))


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except OSError as error:
        raise ConfigurationError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The configuration {path} is not a text file in UTF-8.") from error
    except TOMLKitError as error:
        raise ConfigurationError(f"The configuration {path} is not valid TOML: {error}.") from error


def _insert(values: dict[str, Any], key: str, value: object, path: Path | None) -> None:
    *tables, name = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigurationError(f'"{table}" in {path} should be a table ([{table}]), found {values!r}.')
    values[name] = value


def _value(field: FieldInfo, text: str) -> object:
    """Read the text of a number, a path or a word as its field's type, anything else as TOML; a word is a list of one
    where a list is wanted."""
    try:
        return TypeAdapter(field.rebuild_annotation()).validate_strings(text, strict=False)
    except ValidationError:
        pass
    try:
        return tomlkit.value(text).unwrap()
    except TOMLKitError:
        # Otherwise the field's own check says what it should have been.
        return [text] if get_origin(field.annotation) is tuple and _element(field) is None else text


def _sentence(
    kind: type[Configuration], error: ValidationError, path: Path | None, overrides: Mapping[str, str]
) -> str:
    # A mistyped key first: that the right one is missing follows from it.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    setting = max((name for name in overrides if f"{key}.".startswith(f"{name}.")), key=len, default=None)
    place = str(path) if setting is None else COMMAND_LINE
    if first["type"] == "extra_forbidden":
        return f'Unknown key "{key}" in {place}: {_closest(kind, key)}.'
    found = overrides[setting] if setting is not None else first["input"]
    problem = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f'"{key}" in {place} {problem}, found {found!r}.'


def _unknown_argument(kind: type[Configuration], argument: str) -> str:
    if not argument.startswith("--"):
        return f'Unexpected argument "{argument}": settings are given as --key value; --help lists the keys.'
    key = argument.removeprefix("--").partition("=")[0]
    return f'Unknown key "--{key}" on {COMMAND_LINE}: {_closest(kind, key)}.'


def _closest(kind: type[Configuration], key: str) -> str:
    known = [name for name, _ in leaves(kind)]
    for name, field in leaves(kind):
        if (element := _element(field)) is not None and key.startswith(f"{name}."):
            place = key.removeprefix(f"{name}.").partition(".")[0]
            known = [f"{name}.{place}.{inner}" for inner, _ in leaves(element)]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f'the closest known key is "{close[0]}"' if close else "no known key is like it; --help lists them"


def _meaning(field: FieldInfo) -> str:
    if not field.description:
        raise TypeError(f"every setting needs a description, found {field!r}")
    return field.description


def _default(field: FieldInfo) -> object:
    if field.is_required():
        raise TypeError(f"every setting needs a default, found {field!r}")
    default = field.get_default(call_default_factory=True)
    return default.as_posix() if isinstance(default, Path) else default


def _toml(value: object) -> str:
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()
