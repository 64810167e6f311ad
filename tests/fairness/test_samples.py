from pathlib import Path

import pytest
import torch
from PIL import Image

from fairhands.adapters.samples import GAP
from fairhands.fairness.samples import Samples, SampleSettings, first_captions
from fairhands.people.people import People
from fairhands.people.settings import DataSettings
from tests.adapters.bases import adapted, tiny
from tests.made.prepared_people import make_prepared_people

SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared_people(tmp_path_factory.mktemp("made") / "people", 4)


def people_of(folder: Path, cache: Path, family: str = "mannequin", held_out: int = 2, encode: bool = True) -> People:
    chosen = DataSettings(prepared=(folder,), resolution=SIDE, held_out=held_out)
    return People(chosen, tiny(family, cache / "base"), ("hand",), cache / "cache", "mark", encode_text=encode)


def test_the_captions_of_held_out_pictures_are_shown_or_else_of_those_learnt_from(folder: Path, tmp_path: Path) -> None:
    people = people_of(folder, tmp_path)
    own = [caption for batch in people.held_out.in_order(1) for caption in batch.captions]
    assert first_captions(people, 1) == tuple(own[:1])
    assert set(first_captions(people, 9)) == set(own)
    none = people_of(folder, tmp_path, held_out=0)
    assert set(first_captions(none, 9)) == {"right hand", "malformed hand", "hand"}


@pytest.mark.parametrize(("family", "encodes"), [("mannequin", False), ("SDXL", True), ("SDXL", False)])
def test_a_sheet_shows_each_prompt_without_and_with_the_lora(
    folder: Path, tmp_path: Path, family: str, encodes: bool
) -> None:
    people = people_of(folder, tmp_path, family, encode=not encodes)
    base = tiny(family, tmp_path / "base")
    adapter = adapted(base, text_encoders=encodes)
    settings = SampleSettings(prompts=("right hand", "hand"), seeds=2, steps=2)
    samples = Samples(base, adapter, people, settings, SIDE, encodes)
    if not encodes:
        base.text_encoders = ()
    samples.write(tmp_path / "samples" / "sheet.png")
    samples.write(tmp_path / "samples" / "again.png")
    sheet = Image.open(tmp_path / "samples" / "sheet.png").convert("RGB")
    assert sheet.width == 2 * (SIDE + GAP)
    assert sheet.height > 4 * SIDE
    assert (tmp_path / "samples" / "sheet.png").read_bytes() == (tmp_path / "samples" / "again.png").read_bytes()
    pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8).reshape(sheet.height, sheet.width, 3)
    assert not torch.equal(pixels[48:112, :SIDE], pixels[48:112, SIDE + GAP : 2 * SIDE + GAP])


def test_without_seeds_no_sheet_is_written(folder: Path, tmp_path: Path) -> None:
    base = tiny("mannequin", tmp_path)
    samples = Samples(base, adapted(base), people_of(folder, tmp_path), SampleSettings(seeds=0), SIDE)
    samples.write(tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
