import gc
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image

from fairhands.adapters.samples import GAP
from fairhands.sliders.prompts import SliderPrompts
from fairhands.sliders.settings import SampleSettings, Settings, StartSettings
from fairhands.sliders.training import Slider
from fairhands.training.draw import draw_of
from tests.sliders.conftest import SIDE, NewWorld

PAIRS = (
    SliderPrompts(positives=("good",), negatives=("bad",), attributes=("a", "b"), resolution=SIDE),
    SliderPrompts(target="glove", neutral="glove", positives=("fine",), negatives=("torn",), resolution=2 * SIDE),
)


def settings(**changes) -> Settings:
    start = StartSettings(steps=3, reservoir_size=2)
    samples = SampleSettings(seeds=2, steps=1, scales=(0.0, 1.0))
    return Settings.model_validate({"prompts": PAIRS, "start": start, "samples": samples, **changes})


def slider(new_world: NewWorld, **changes) -> Slider:
    world = new_world("SD 1.5")
    return Slider(world.base, world.adapter, settings(**changes), "mark")


def test_the_text_encoders_are_let_go(new_world: NewWorld) -> None:
    world = new_world("SDXL")
    encoders = [weakref.ref(encoder) for encoder in world.base.text_encoders]
    made = Slider(world.base, world.adapter, settings(), "mark")
    gc.collect()
    assert [encoder() for encoder in encoders] == [None, None]
    assert made.base.text_encoders == ()


def test_pairs_of_different_sizes_are_learnt_at_their_own(new_world: NewWorld) -> None:
    made, sides = slider(new_world), set()
    for step in range(8):
        draw = draw_of(0, step, 1)
        (example,) = made.entries.examples(draw)
        draw = draw_of(0, step, 1)
        start = made.starts.start(made.entries.examples(draw), draw)
        assert start.noised.shape[-1] == example.entry.resolution // 8
        sides.add(start.noised.shape[-1])
        assert torch.isfinite(made.losses(draw_of(0, step, 1))["loss"])
    assert sides == {SIDE // 8, SIDE // 4}


def test_a_sheet_has_a_row_for_each_seed_of_each_target(new_world: NewWorld, tmp_path: Path) -> None:
    slider(new_world).write_samples(tmp_path / "sheet.png")
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.width == 2 * (2 * SIDE + GAP)
    assert sheet.height > 2 * SIDE + 2 * 2 * SIDE
    none = SampleSettings(seeds=0)
    slider(new_world, samples=none).write_samples(tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_size_that_the_base_cannot_make_is_refused(new_world: NewWorld) -> None:
    odd = PAIRS[0].model_copy(update={"resolution": 100})
    with pytest.raises(ValueError, match=r"resolution should be a multiple of 8 for SD 1.5, found 100"):
        slider(new_world, prompts=(odd,))
