"""Write `locales/`, the texts of the nodes in each language that `devtools/translations/` has, and in English.

python3 dev.py run devtools.locales        (after `python3 dev.py demo`, which sets ComfyUI up)

A translation is looked up by the English text of the schema, so that a text that changed asks for a new one.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairhands.whole_files import write_whole

from . import comfyui, environment
from .client import ComfyClient
from .paths import ROOT
from .server import ComfyServer
from .steps import StepFailed

LOCALES = ROOT / "locales"
TRANSLATIONS = ROOT / "devtools" / "translations"
ENGLISH = "en"
CATEGORIES, NAMES, TEXTS = "categories", "names", "texts"

Json = dict[str, Any]
Phrases = dict[str, dict[str, str]]


class Missing(Exception):
    """A language lacks phrases of the schemas, or has some that no schema has."""


def phrases(schemas: Mapping[str, Json]) -> Phrases:
    """The English phrases of the nodes, each as its own translation, by categories, names and texts."""
    found: Phrases = {CATEGORIES: {}, NAMES: {}, TEXTS: {}}
    for schema in schemas.values():
        for kind, phrase in _of_node(schema):
            found[kind][phrase] = phrase
    return found


def _of_node(schema: Json) -> Iterator[tuple[str, str]]:
    yield from ((CATEGORIES, part) for part in schema["category"].split("/"))
    yield TEXTS, schema["display_name"]
    yield TEXTS, schema["description"]
    for name, tooltip in (*_inputs(schema), *_outputs(schema)):
        yield NAMES, name
        yield TEXTS, tooltip


def _inputs(schema: Json) -> list[tuple[str, str]]:
    """Names and tooltips, in the node's order."""
    return [(name, each[1]["tooltip"]) for group in schema["input"].values() for name, each in group.items()]


def _outputs(schema: Json) -> list[tuple[str, str]]:
    return list(zip(schema["output_name"], schema["output_tooltips"], strict=True))


def languages(schemas: Mapping[str, Json]) -> dict[str, Phrases]:
    """The phrases of each language, English first. Raises Missing where one does not fit the schemas."""
    english = phrases(schemas)
    found = {ENGLISH: english}
    for file in sorted(TRANSLATIONS.glob("*.json")):
        found[file.stem] = json.loads(file.read_text(encoding="utf-8"))
        for kind, known in english.items():
            translated = found[file.stem][kind]
            if lacking := [phrase for phrase in known if not translated.get(phrase)]:
                raise Missing(f"{file.name} has no translation among its {kind} for: {lacking}")
            if stale := [phrase for phrase in translated if phrase not in known]:
                raise Missing(f"{file.name} translates among its {kind} what no node has any more: {stale}")
    return found


def files(schemas: Mapping[str, Json]) -> dict[str, Json]:
    """The content of each file of `locales/`, by its path there, as ComfyUI's page reads it. Raises Missing."""
    made: dict[str, Json] = {}
    for language, known in languages(schemas).items():
        made[f"{language}/main.json"] = {"nodeCategories": known[CATEGORIES]}
        made[f"{language}/nodeDefs.json"] = {name: _translated(schema, known) for name, schema in schemas.items()}
    return made


def _translated(schema: Json, known: Phrases) -> Json:
    def slot(name: str, tooltip: str) -> dict[str, str]:
        return {"name": known[NAMES][name], "tooltip": known[TEXTS][tooltip]}

    return {
        "display_name": known[TEXTS][schema["display_name"]],
        "description": known[TEXTS][schema["description"]],
        "inputs": {name: slot(name, tooltip) for name, tooltip in _inputs(schema)},
        "outputs": {str(place): slot(*output) for place, output in enumerate(_outputs(schema))},
    }


def ours(client: ComfyClient) -> dict[str, Json]:
    """The pack's nodes as the server describes them, by their ids."""
    return {name: schema for name, schema in client.get("/object_info").items() if name.startswith("FairHands")}


def main() -> None:
    """Write all files. Raises StepFailed without a ComfyUI, and Missing."""
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("Nothing is set up yet: run `python3 dev.py demo`.")
    with tempfile.TemporaryDirectory() as base, ComfyServer(comfy_ui, prepared, Path(base)) as server:
        made = files(ours(ComfyClient(server.address)))
    for name, content in made.items():
        (LOCALES / name).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_whole(LOCALES / name, text.encode())


if __name__ == "__main__":
    try:
        main()
    except (StepFailed, Missing) as failure:
        sys.exit(f"locales: {failure}")
