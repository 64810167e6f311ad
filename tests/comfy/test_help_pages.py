"""The help pages: what they name is what their nodes have, and what they show is served where the page looks for it."""

import re
import urllib.request
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from devtools.client import ComfyClient
from devtools.locales import ours
from devtools.paths import ROOT

DOCS = ROOT / "web" / "docs"
PAGES = sorted(page.stem for page in DOCS.glob("*.md"))
# Where ComfyUI's page looks for what a help page of ours names without a leading slash.
BASE = "/extensions/fairhands/docs/"
# The pack ships no ControlNet whose effect could be shown.
WITHOUT_PICTURE = {"FairHandsLoadMPDControlNet"}
LARGEST, ALL_TOGETHER = 100_000, 1_200_000
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def schemas(client: ComfyClient) -> dict[str, Any]:
    return ours(client)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def named(text: str, head: str) -> list[str]:
    """What the table with that head names in its first column, where a cell may hold several names."""
    (table,) = re.findall(rf"^\| {head} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [name for row in table.splitlines() for name in row.split("|")[1].strip().split(", ")]


def test_every_node_has_a_page_and_every_page_a_node(schemas: dict[str, Any]) -> None:
    assert sorted(schemas) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_its_node_and_its_inputs_and_outputs_and_no_others(schemas: dict[str, Any], name: str) -> None:
    text, schema = page(name), schemas[name]
    assert text.startswith(f"# {schema['display_name']}\n")
    assert sorted(named(text, "input")) == sorted(key for group in schema["input"].values() for key in group)
    assert named(text, "output") == schema["output_name"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_to_do_when_it_goes_wrong(name: str) -> None:
    assert re.search(r"^## When it goes wrong\n\n- \*", page(name), re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_the_server_gives_a_page_and_its_pictures_where_comfyui_looks_for_them(client: ComfyClient, name: str) -> None:
    assert client.text(f"{BASE}{name}.md") == page(name)
    pictures = PICTURE.findall(page(name))
    assert bool(pictures) == (name not in WITHOUT_PICTURE)
    for picture in pictures:
        with urllib.request.urlopen(client.address + BASE + picture) as response:
            content = response.read()
        assert len(content) < LARGEST
        Image.open(BytesIO(content)).verify()


def test_every_picture_is_shown_by_a_page_and_all_are_small() -> None:
    files = list((DOCS / "pictures").iterdir())
    shown = {picture for name in PAGES for picture in PICTURE.findall(page(name))}
    assert shown == {f"pictures/{file.name}" for file in files}
    assert sum(file.stat().st_size for file in files) < ALL_TOGETHER


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_are_whole_addresses_since_comfyui_resolves_no_others(name: str) -> None:
    assert all(link.startswith("https://") for link in LINK.findall(page(name)))


@pytest.mark.parametrize("name", PAGES)
def test_nodes_of_the_pack_that_a_page_puts_in_italics_exist(schemas: dict[str, Any], name: str) -> None:
    ours_by_name = {schema["display_name"] for schema in schemas.values()}
    text = " ".join(page(name).split())
    mentioned = re.findall(r"(?<!\*)\*((?:Hand|Load (?:Hand|MPD)|Guidance Trace|Mannequin)[^*]*)\*(?!\*)", text)
    assert {one for one in mentioned if not one.endswith((".", "?"))} <= ours_by_name
