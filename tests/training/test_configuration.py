"""A trainer's settings come from one TOML file and the command line, and a mistake is one readable line."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from fairhands.training.configuration import (
    Configuration,
    ConfigurationError,
    Required,
    example,
    from_command_line,
    read,
)

PROGRAM = "python -m trainers.example"


class Data(Configuration):
    size: int = Field(default=64, ge=8, description="Side of the pictures in pixels.")
    folders: tuple[str, ...] = Field(default=("a", "b"), description="Where the pictures are.")


class Folder(Configuration):
    path: Path = Field(default=Path("pictures"), description="Where it is.")
    weight: float = Field(default=1.0, gt=0, description="How often it is looked at.")


class Settings(Configuration):
    steps: int = Field(default=100, ge=1, le=1000, description="How often the weights are changed; 100% of them.")
    rate: float = Field(default=2e-3, gt=0, description="Learning rate.")
    data: Data = Field(default=Data(), description="What is learnt from.")
    flip: bool = Field(default=True, description="Whether pictures are mirrored.")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where the work is done.")
    output: Path = Field(default=Path("out") / "critic.safetensors", description='The file to write, "whole".')
    limit: float | None = Field(default=None, description="Longest time in seconds.")
    extra: tuple[Folder, ...] = Field(default=(), description="Further folders.")


def write(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text, encoding="utf-8")
    return path


def sentence_of(text: str, folder: Path, overrides: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(Settings, write(folder, text), overrides)
    return str(caught.value)


def test_the_defaults_hold_where_nothing_is_given():
    assert from_command_line(Settings, PROGRAM, "", []) == Settings()


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path):
    path = write(tmp_path, "steps = 20\nrate = 0.5\n[data]\nsize = 32\n")
    settings = from_command_line(
        Settings, PROGRAM, "", ["--steps", "30", "--config", str(path), "--data.folders", '["x"]']
    )
    assert (settings.steps, settings.rate, settings.flip) == (30, 0.5, True)
    assert settings.data == Data(size=32, folders=("x",))


def test_every_type_can_be_given_on_the_command_line():
    arguments = [
        "--steps=7",
        "--rate",
        ".5",
        "--flip",
        "false",
        "--device",
        "cuda",
        "--output",
        "7",
        "--limit",
        "-1",
    ]
    settings = from_command_line(Settings, PROGRAM, "", arguments)
    assert settings == Settings(steps=7, rate=0.5, flip=False, device="cuda", output=Path("7"), limit=-1.0, data=Data())


def test_one_word_is_a_list_of_one_where_a_list_is_wanted():
    assert from_command_line(Settings, PROGRAM, "", ["--data.folders", "pictures/of hands"]).data.folders == (
        "pictures/of hands",
    )
    assert from_command_line(Settings, PROGRAM, "", ["--data.folders", '["a", "b"]']).data.folders == ("a", "b")


def test_the_example_reads_back_as_the_defaults_and_explains_every_key(tmp_path: Path):
    text = example(Settings, PROGRAM)
    assert read(Settings, write(tmp_path, text)) == Settings()
    for words in ("steps = 100", "# Learning rate.", "[data]", "size = 64", "# limit =", 'device = "cpu"'):
        assert words in text


def test_an_array_of_tables_is_read_from_the_file_and_from_the_command_line(tmp_path: Path):
    path = write(tmp_path, 'steps = 2\n[[extra]]\npath = "a"\n[[extra]]\npath = "b"\nweight = 0.5\n')
    folders = (Folder(path=Path("a")), Folder(path=Path("b"), weight=0.5))
    assert read(Settings, path).extra == folders
    given = '[{path = "a"}, {path = "b", weight = 0.5}]'
    assert from_command_line(Settings, PROGRAM, "", ["--extra", given]).extra == folders


def test_the_example_shows_the_keys_of_an_array_of_tables(tmp_path: Path):
    text = example(Settings, PROGRAM)
    assert "# Further folders.\n# [[extra]]\n# # Where it is.\n# path = " in text
    assert "# # How often it is looked at. (above 0)\n# weight = 1.0" in text
    shown, _, commented = text.partition("# Further folders.\n")
    uncommented = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    assert read(Settings, write(tmp_path, f"{shown}\n{uncommented}\n")) == Settings(extra=(Folder(),))


def test_the_example_says_what_is_required_and_what_each_key_can_be():
    class Needy(Configuration):
        base: Annotated[str, Required()] = Field(default="", description="The base model.")
        folder: Annotated[Path | None, Required(unless="data")] = Field(default=None, description="Pictures.")
        most: int | None = Field(default=None, ge=1, le=9, description="Most of them.")
        data: Data = Field(default=Data(), description="What is learnt from.")

    text = example(Needy, PROGRAM)
    assert text.startswith(f"# Settings for `{PROGRAM} --config FILE`.")
    assert "Fill in what is REQUIRED." in text
    assert '# REQUIRED. The base model.\nbase = ""' in text
    assert '# REQUIRED, unless data is given. Pictures.\n# folder = "PATH"' in text
    assert "# Most of them. (1 to 9)\n# most = NUMBER" in text
    assert "# What is learnt from.\n[data]\n# Side of the pictures in pixels. (at least 8)\nsize = 64" in text
    plain = example(Settings, PROGRAM)
    assert "REQUIRED" not in plain
    assert '# Where the work is done. One of: cpu, cuda.\ndevice = "cpu"' in plain


def test_a_mistake_in_an_array_of_tables_is_named_with_its_place(tmp_path: Path):
    first = '[[extra]]\npath = "a"\n'
    wrong = sentence_of(f"{first}[[extra]]\nweight = 0", tmp_path)
    assert wrong.startswith('"extra.1.weight"')
    assert "found 0" in wrong
    assert 'the closest known key is "extra.1.path"' in sentence_of(f'{first}[[extra]]\npth = "a"', tmp_path)
    assert '"extra"' in sentence_of("extra = 3", tmp_path)
    assert '"extra.0"' in sentence_of("extra = [3]", tmp_path)


def test_an_unknown_key_is_refused_with_the_closest_one(tmp_path: Path):
    sentence = sentence_of("stepz = 3", tmp_path)
    assert sentence == f'Unknown key "stepz" in {tmp_path / "train.toml"}: the closest known key is "steps".'
    assert '"data.sise"' in (nested := sentence_of("[data]\nsise = 3", tmp_path))
    assert '"data.size"' in nested
    assert "--help lists them" in sentence_of("zzzzzz = 3", tmp_path)


def test_a_key_in_the_wrong_table_is_told_where_it_belongs(tmp_path: Path):
    assert sentence_of("size = 3", tmp_path).endswith('the closest known key is "data.size".')
    assert sentence_of("[data]\nrate = 3", tmp_path).endswith('the closest known key is "rate".')


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("steps = 0", ('"steps"', "greater than or equal to 1", "found 0")),
        ("steps = true", ('"steps"', "integer", "found True")),
        ("steps = 3.5", ('"steps"', "integer", "found 3.5")),
        ('steps = "3"', ('"steps"', "integer", "found '3'")),
        ("flip = 1", ('"flip"', "boolean", "found 1")),
        ('device = "gpu"', ('"device"', "'cpu' or 'cuda'", "found 'gpu'")),
        ("data = 3", ('"data"', "found 3")),
        ("[data]\nsize = 1979-05-27", ('"data.size"', "integer", "1979-05-27")),
        ('[data]\nfolders = "a"', ('"data.folders"', 'a list, such as ["a", "b"]', "found 'a'")),
        ("[data]\nfolders = [1]", ('"data.folders.0"', "string", "found 1")),
        ("steps = = 3", ("not valid TOML",)),
        ("steps = 1\nsteps = 2", ("not valid TOML",)),
    ],
)
def test_a_wrong_value_is_one_sentence(text: str, parts: tuple[str, ...], tmp_path: Path):
    sentence = sentence_of(text, tmp_path)
    assert "\n" not in sentence
    for part in (*parts, "train.toml"):
        assert part in sentence


def test_a_wrong_value_on_the_command_line_says_so(tmp_path: Path):
    sentence = sentence_of("steps = 3", tmp_path, {"steps": "many"})
    assert sentence.startswith('"steps" on the command line')
    assert "found 'many'" in sentence
    assert "should be a table" in sentence_of("data = 3", tmp_path, {"data.size": "64"})


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"Cannot read the configuration .*missing.toml: No such file"):
        read(Settings, tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="Cannot read the configuration"):
        read(Settings, tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not a text file"):
        read(Settings, tmp_path / "binary.toml")


@given(st.text(max_size=40))
def test_any_text_for_a_setting_is_taken_or_refused_in_one_line(text: str):
    for key in ("steps", "rate", "data.folders", "limit"):
        try:
            read(Settings, None, {key: text})
        except ConfigurationError as error:
            assert str(error).startswith(f'"{key}')  # noqa: PT017
            assert len(str(error).splitlines()) == 1  # noqa: PT017


PROGRAM_TEXT = """
from tests_settings import Settings
from fairhands.training.configuration import from_command_line
print(from_command_line(Settings, "python -m trainers.example", "Trains an example.").steps)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM_TEXT.replace("from tests_settings", "from test_configuration")
    command = [sys.executable, "-c", program, *arguments]
    path = f"{Path(__file__).parent}:{Path(__file__).parents[2]}"
    return subprocess.run(
        command, env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--stepz", "3"), 'Unknown key "--stepz" on the command line: the closest known key is "steps"'),
        (("--steps", "many"), '"steps" on the command line'),
        (("--steps",), "expected one argument"),
        (("30",), 'Unexpected argument "30"'),
        (("--config", "missing.toml"), "Cannot read the configuration missing.toml"),
    ],
)
def test_a_mistake_ends_the_program_with_status_2_and_one_line(arguments: tuple[str, ...], part: str):
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"{PROGRAM}: ")
    assert part in ended.stderr


def test_help_and_example_end_the_program_with_status_0():
    shown = run("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in (
        "Trains an example.",
        "[data]:\n  What is learnt from.\n\n  --data.size NUMBER",
        "--flip true|false",
        "--device cpu|cuda",
        "path: Where it is.",
        "100% of them. (1 to 1000; default:",
        "Longest time in seconds. (default: not set)",
        "--limit NUMBER",
        "(default: out/critic.safetensors)",
    ):
        assert words in shown.stdout
    printed = run("--example")
    assert (printed.returncode, printed.stdout.strip()) == (0, example(Settings, PROGRAM).strip())


def test_help_names_what_is_required_first_and_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys):
    class Needy(Configuration):
        steps: int = Field(default=1, description="How often the weights are changed, again and again and again.")
        base: Annotated[str, Required()] = Field(default="", description="The base model.")

    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        from_command_line(Needy, PROGRAM, "", ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: {PROGRAM} --base TEXT [--config FILE]")
    assert "The base model. (required)" in " ".join(" ".join(lines).split())
    assert max(map(len, lines[1:])) < 60
