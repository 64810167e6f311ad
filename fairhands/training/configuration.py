"""A trainer's configuration: one TOML file, overridden from the command line.

Each trainer describes its settings as one subclass of `Configuration`, in which every field has a
description and a default; tables of the TOML file are fields that are `Configuration`s themselves, and arrays of
tables are tuples of such.
"""

import argparse
import difflib
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from tomlkit.exceptions import TOMLKitError

from .setting_words import Required, comment_words, example_line, form, help_words, meaning, required

__all__ = ["Configuration", "ConfigurationError", "Required", "example", "from_command_line", "leaves", "read"]

COMMAND_LINE = "on the command line"
LINE_LENGTH = 100
EXAMPLE = "Settings for `{program} --config FILE`. What is left out or commented out keeps its default."
EPILOG = (
    "Tables such as [training] are keys with a dot: --training.steps 100. A LIST is one word, or several as TOML has "
    'them: \'["a", "b"]\'. What is given here counts before what the file says.'
)


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
            print(example(kind, program))
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


def example(kind: type[Configuration], program: str) -> str:
    """A TOML file of every key with its description and its default; reading it gives the defaults."""
    lines = [*_comment(f"{EXAMPLE.format(program=program)}{' Fill in what is REQUIRED.' * bool(_required(kind))}"), ""]
    for path, words, fields in _tables(kind):
        if path:
            lines += [*_comment(words), f"[{path}]"]
        for name, field in fields:
            if _element(field) is None:
                lines += [*_comment(comment_words(field)), example_line(name, field), ""]
    for key, field in leaves(kind):
        if (element := _element(field)) is not None:
            lines += _example_of_array(key, field, element)
    return "\n".join(lines).rstrip()


def _example_of_array(key: str, field: FieldInfo, element: type[Configuration]) -> list[str]:
    """One table of an array with its keys, as a comment: the array is empty until tables of it are given."""
    lines = [*_comment(meaning(field)), f"# [[{key}]]"]
    for name, inner in leaves(element):
        lines += [f"# {line}" for line in (*_comment(comment_words(inner)), example_line(name, inner))]
    return [*lines, ""]


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, LINE_LENGTH, initial_indent="# ", subsequent_indent="# ")


def leaves(kind: type[Configuration]) -> Iterator[tuple[str, FieldInfo]]:
    """Each setting with its dotted key: those of a table after the plain ones, as TOML wants them."""
    for path, _, fields in _tables(kind):
        for name, field in fields:
            yield f"{path}.{name}" if path else name, field


Table = tuple[str, str, list[tuple[str, FieldInfo]]]
"""The dotted key of a table, its description, and the settings in it; the key of the plain ones is empty."""


def _tables(kind: type[Configuration], path: str = "", words: str = "") -> Iterator[Table]:
    inner: list[tuple[str, FieldInfo, type[Configuration]]] = []
    plain: list[tuple[str, FieldInfo]] = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Configuration):
            inner.append((f"{path}.{name}" if path else name, field, field.annotation))
        else:
            plain.append((name, field))
    yield path, words, plain
    for key, field, table in inner:
        yield from _tables(table, key, meaning(field))


def _required(kind: type[Configuration]) -> list[tuple[str, FieldInfo]]:
    return [(key, field) for key, field in leaves(kind) if required(field)]


def _element(field: FieldInfo) -> type[Configuration] | None:
    """What an array of tables has; None for another field."""
    if get_origin(field.annotation) is not tuple:
        return None
    inner = get_args(field.annotation)[0]
    return inner if isinstance(inner, type) and issubclass(inner, Configuration) else None


def _parser(kind: type[Configuration], program: str, purpose: str) -> argparse.ArgumentParser:
    needed = "".join(f" --{key} {form(field)}" for key, field in _required(kind))
    width = min(LINE_LENGTH, shutil.get_terminal_size((LINE_LENGTH, 24)).columns - 2)
    parser = _Parser(
        program,
        usage=f"{program}{needed} [--config FILE] [--KEY VALUE ...]",
        description=purpose,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=width),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="read the settings from this TOML file")
    parser.add_argument("--example", action="store_true", help="print a TOML file with every key and its default")
    for path, table, fields in _tables(kind):
        title = f"[{path}]" if path else "settings"
        group = parser.add_argument_group(title, table or "Each is a key of the TOML file too.")
        for name, field in fields:
            words = f"{help_words(field)}{_keys(field)}".replace("%", "%%")
            key = f"{path}.{name}" if path else name
            group.add_argument(f"--{key}", dest=key, metavar=form(field), help=words)
    return parser


def _keys(field: FieldInfo) -> str:
    """The keys of an array's tables, for help."""
    element = _element(field)
    if element is None:
        return ""
    return " Keys of each: " + " ".join(f"{name}: {help_words(inner)}" for name, inner in leaves(element))


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
    place = f"in {path}" if setting is None else COMMAND_LINE
    if first["type"] == "extra_forbidden":
        return f'Unknown key "{key}" {place}: {_closest(kind, key)}.'
    found = overrides[setting] if setting is not None else first["input"]
    problem = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        problem = 'should be a list, such as ["a", "b"]'
    return f'"{key}" {place} {problem}, found {found!r}.'


def _unknown_argument(kind: type[Configuration], argument: str) -> str:
    if not argument.startswith("--"):
        return f'Unexpected argument "{argument}": settings are given as --key value; --help lists the keys.'
    key = argument.removeprefix("--").partition("=")[0]
    return f'Unknown key "--{key}" {COMMAND_LINE}: {_closest(kind, key)}.'


def _closest(kind: type[Configuration], key: str) -> str:
    known = [name for name, _ in leaves(kind)]
    for name, field in leaves(kind):
        if (element := _element(field)) is not None and key.startswith(f"{name}."):
            place = key.removeprefix(f"{name}.").partition(".")[0]
            known = [f"{name}.{place}.{inner}" for inner, _ in leaves(element)]
    same = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    # A letter that is missing before a key in the wrong table, and that before a word that is somewhat alike.
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.85) or same
    close = close or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not close:
        return "no known key is like it; --help lists them"
    names = " or ".join(f'"{name}"' for name in close)
    return f"the closest known key is {names}"
