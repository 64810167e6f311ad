"""What the page tells of a node: its help, and its names in other languages."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from comfy_page import ComfyPage

from devtools.paths import ROOT

NODE = "FairHandsHandVisualGuidance"
LANGUAGES = ("zh", "ja", "ko")


def translated(language: str) -> dict[str, Any]:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))[NODE]


def test_the_help_of_a_node_opens_with_its_text_and_its_pictures(comfy_page: ComfyPage) -> None:
    help_page = comfy_page.open_help(NODE)
    assert "discriminator" in help_page.inner_text()
    pictures = help_page.locator("img")
    assert pictures.count() >= 1
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        comfy_page.page.wait_for_function("picture => picture.complete", arg=picture.element_handle())
        assert picture.evaluate("picture => picture.naturalWidth") > 0, picture.get_attribute("src")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_node_has_its_name_and_inputs_in_the_language_of_the_page(
    open_page: Callable[..., ComfyPage], language: str
) -> None:
    page = open_page(language=language)
    page.open_help(NODE)
    (shape,) = page.shapes()
    assert shape["title"] == translated(language)["display_name"]
    assert set(shape["labels"]) >= {translated(language)["inputs"]["w"]["name"]}
