"""The translations: whole, none stale, and served where ComfyUI's page asks for them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from devtools import locales
from devtools.client import ComfyClient

LANGUAGES = ("en", "fr", "ja", "ko", "zh", "zh-TW")
# What the page's own message format would take for placeholders, links and plurals.
SPECIAL = set("{}@|")
# Numbers, commands, files and folders, and names that no language changes.
KEPT = re.compile(r"\d[\d.]*\d|\d|`[^`]+`|models/\w+/|\w+\.task|'[a-z()]+'|SDXL|SD1\.5|SD3|Flux|TAESD|MediaPipe|JSON")


@pytest.fixture(scope="module")
def schemas(client: ComfyClient) -> dict[str, Any]:
    return locales.ours(client)


def committed() -> dict[str, Any]:
    return {
        str(file.relative_to(locales.LOCALES).as_posix()): json.loads(file.read_text(encoding="utf-8"))
        for file in locales.LOCALES.rglob("*.json")
    }


def phrases(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        for each in content.values():
            yield from phrases(each)


def test_the_files_are_what_the_schemas_and_translations_make(schemas: dict[str, Any]) -> None:
    assert committed() == locales.files(schemas), "run: python3 dev.py run devtools.locales"


def test_the_server_gives_every_language_to_the_page(client: ComfyClient) -> None:
    served = client.get("/i18n")
    assert set(served) >= set(LANGUAGES)
    for language in LANGUAGES:
        ours = {name: node for name, node in served[language]["nodeDefs"].items() if name.startswith("FairHands")}
        assert ours == committed()[f"{language}/nodeDefs.json"]
        assert served[language]["nodeCategories"].items() >= {"FairHands": "FairHands"}.items()


def test_every_language_names_every_node_input_and_output(schemas: dict[str, Any]) -> None:
    for language in LANGUAGES:
        nodes = committed()[f"{language}/nodeDefs.json"]
        assert list(nodes) == list(schemas)
        for name, schema in schemas.items():
            assert list(nodes[name]["inputs"]) == [key for group in schema["input"].values() for key in group]
            assert list(nodes[name]["outputs"]) == [str(place) for place in range(len(schema["output_name"]))]


def test_numbers_commands_and_folders_survive_translation(schemas: dict[str, Any]) -> None:
    for language, known in locales.languages(schemas).items():
        for english, translated in known[locales.TEXTS].items():
            lost = set(KEPT.findall(english)) - set(KEPT.findall(translated))
            assert not lost, f"{language}: {english}"


def test_no_phrase_holds_what_the_page_would_take_for_a_placeholder() -> None:
    for name, content in committed().items():
        for phrase in phrases(content):
            assert not SPECIAL & set(phrase), f"{name}: {phrase}"
            assert phrase.strip() == phrase != ""


def test_translated_texts_are_in_their_language(schemas: dict[str, Any]) -> None:
    letters = {"ja": "[\u3040-\u30ff]", "ko": "[\uac00-\ud7a3]", "zh": "[\u4e00-\u9fff]", "zh-TW": "[\u4e00-\u9fff]"}
    for language, known in locales.languages(schemas).items():
        if language in letters:
            assert all(re.search(letters[language], text) for text in known[locales.TEXTS].values())


def test_a_text_without_its_translation_is_named(schemas: dict[str, Any]) -> None:
    name, schema = next(iter(schemas.items()))
    changed = {**schemas, name: {**schema, "description": "Something new."}}
    with pytest.raises(
        locales.Missing, match=r"fr\.json has no translation among its texts for: \['Something new\.'\]"
    ):
        locales.files(changed)


def test_a_translation_that_no_node_needs_any_more_is_named(schemas: dict[str, Any]) -> None:
    fewer = {name: schema for name, schema in schemas.items() if name != "FairHandsMannequinPrompt"}
    with pytest.raises(locales.Missing, match="translates among its categories what no node has any more"):
        locales.files(fewer)
