"""Base models with a LoRA, encoded prompts, and what a pass is about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from fairhands.adapters.lora import LoraAdapter
from fairhands.base_models import BaseModel
from fairhands.sliders.entries import Entries, Example
from fairhands.sliders.prompts import PRESETS, SliderPrompts
from fairhands.sliders.texts import Texts
from fairhands.training.draw import draw_of
from tests.adapters.bases import adapted, moved, tiny

SIDE = 64


class World(NamedTuple):
    base: BaseModel
    adapter: LoraAdapter
    entries: Entries
    texts: Texts

    def examples(self, batch: int = 2, step: int = 0) -> list[Example]:
        return self.entries.examples(draw_of(0, step, batch))


NewWorld = Callable[..., World]


@pytest.fixture
def new_world(tmp_path_factory: pytest.TempPathFactory) -> NewWorld:
    """Makes a base model of a family with a LoRA of random weights, or one that changes nothing."""

    def make(
        family: str = "mannequin",
        changed: bool = True,
        pairs: Sequence[SliderPrompts] = PRESETS["mannequin"],
        attributes: str = "sampled",
        **settings: object,
    ) -> World:
        folder: Path = tmp_path_factory.getbasetemp() / f"sliders {family}"
        base = tiny(family, folder)
        adapter = moved(adapted(base, **settings), 0.3 if changed else 0.0)
        entries = Entries(pairs, SIDE, "averaged" if attributes == "averaged" else "sampled")
        wanted = {(prompt, entry.resolution) for entry in entries.all() for prompt in entry.prompts}
        return World(base, adapter, entries, Texts(base, wanted))

    return make
