"""What the pages say can be followed: links lead somewhere, named keys exist, examples are valid."""

import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from fairhands.training.configuration import Configuration, from_command_line, leaves, read

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "web" / "docs").glob("*.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}.*\n|^[ \t]*\n)+", re.MULTILINE)
TRAINER = re.compile(r"(?:python3? -m |dev\.py run |accelerate launch -m |^)trainers\.(\w+)((?: [^`]*)?)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    """The page without its examples."""
    return re.sub(r"`[^`\n]*`", "", INDENTED.sub("\n", FENCED.sub("", page.read_text(encoding="utf-8"))))


@cache
def anchors(page: Path) -> set[str]:
    """What headings are called in links, as GitHub names them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose(page))
    for target in (unquote(first or second) for first, second in links):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        # ComfyUI serves the pack's web folder there, for pictures of help pages.
        file = page.parent / name if name else page
        if name.startswith("/extensions/fairhands/"):
            file = ROOT / "web" / name.removeprefix("/extensions/fairhands/")
        assert file.exists(), f"{page.name} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.resolve()), f"{page.name} links to {target}, of {sorted(anchors(file))}"


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each trainer that a page names with what is given to it."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        for name, rest in TRAINER.findall(line):
            yield name, given(rest.partition("  #")[0])


def given(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # prose with an apostrophe
        return re.findall(r"--[a-z][\w.]*", text)


@cache
def settings_of(trainer: str) -> type[Configuration]:
    module = importlib.import_module(f"trainers.{trainer}")
    return getattr(module, "Options", None) or module.Settings


@pages
def test_every_trainer_and_key_that_a_page_names_exists(page: Path) -> None:
    for name, arguments in commands(page):
        if name == "NAME":
            continue
        assert (ROOT / "trainers" / f"{name}.py").is_file(), f"{page.name} names trainers.{name}"
        keys = {word.removeprefix("--").partition("=")[0] for word in arguments if re.match(r"--[a-z]", word)}
        known = {key for key, _ in leaves(settings_of(name))} | {"config", "example", "help"}
        assert keys <= known, f"{page.name}: trainers.{name} has no key {sorted(keys - known)}"


@pages
def test_every_command_that_a_page_gives_in_full_is_accepted(page: Path) -> None:
    for name, arguments in commands(page):
        if name == "NAME" or not arguments or not arguments[0].startswith("--"):
            continue
        if {"...", "--help", "--example", "--config", ">"} & set(arguments) or len(arguments) % 2:
            continue
        plain = all(word.startswith("--") for word in arguments[::2])
        if plain and not any(word.isupper() or "|" in word for word in arguments[1::2]):
            from_command_line(settings_of(name), name, "", arguments)


def examples(page: Path) -> Iterator[tuple[str, str]]:
    """Each example in TOML with the trainer that it is for: `# trainers.NAME` in its first line."""
    for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "toml":
            yield re.findall(r"trainers\.(\w+)", text.partition("\n")[0])[0], text


@pages
def test_every_example_in_toml_is_a_trainers_configuration(page: Path, tmp_path: Path) -> None:
    for trainer, text in examples(page):
        (tmp_path / "example.toml").write_text(text, encoding="utf-8")
        read(settings_of(trainer), tmp_path / "example.toml")


def test_the_pages_have_examples_commands_and_links_to_check() -> None:
    assert sum(len(list(examples(page))) for page in PAGES) >= 3
    assert sum(len(arguments) > 0 for page in PAGES for _, arguments in commands(page)) >= 20
    assert sum("](" in prose(page) for page in PAGES) >= 15
