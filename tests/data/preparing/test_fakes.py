"""Fakes depend on what is wanted alone: not on batches, pieces, processes, or on how often the program was stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fairhands.base_models import BaseModel, load
from fairhands.data.preparing import fakes
from fairhands.data.preparing.fakes import Caption, FakeSettings, Wanted, fakes_of, make_fakes, sampled
from fairhands.data.preparing.pieces import Pieces

FILE = Path(__file__).parents[3] / "weights" / "checkpoints" / "mannequin_model.safetensors"
QUICK = FakeSettings(steps=2, guidance=2.0, batch=2)
CAPTIONS = [Caption("a", "hand"), Caption("b", "hand"), Caption("c", "right hand")]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return load(FILE)


def pieces_in(folder: Path, process: int = 0, processes: int = 1, size: int = 4) -> Pieces:
    return Pieces(folder, QUICK.result_of(), size, process, processes)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_caption_and_seed_gives_a_picture_that_says_what_it_is_of(base: BaseModel, tmp_path: Path) -> None:
    pieces = pieces_in(tmp_path)
    make_fakes("fakes", lambda: base, CAPTIONS, 2, QUICK, pieces)
    made = fakes_of(pieces)
    assert [(fake.pair, fake.example.text) for fake in made] == [
        (caption.pair, caption.text) for caption in CAPTIONS for _ in range(2)
    ]
    assert [fake.example.place for fake in made][:2] == ["fake of a, seed 0", "fake of a, seed 1"]
    assert all(fake.kind == "fake" for fake in made)
    pictures = [np.asarray(Image.open(fake.example.picture)) for fake in made]
    assert all(picture.shape == (128, 128, 3) for picture in pictures)
    # Another seed is another picture, and so is another pair with the same caption.
    assert len({picture.tobytes() for picture in pictures}) == len({fake.key for fake in made}) == 6


def test_a_picture_is_the_same_alone_and_in_a_batch(base: BaseModel) -> None:
    wanted = [Wanted("a", "hand", 0), Wanted("b", "right hand", 3), Wanted("a", "hand", 1)]
    together = sampled(base, wanted, QUICK)
    for one, picture in zip(wanted, together, strict=True):
        alone = sampled(base, [one], QUICK)[0]
        # Sums of other batches round differently.
        assert (alone.int() - picture.int()).abs().max() <= 1


def test_several_processes_and_a_stopped_run_give_the_same_bytes(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fakes("fakes", lambda: base, CAPTIONS, 2, QUICK, pieces_in(tmp_path / "one"))
    for process in (1, 0):
        make_fakes("fakes", lambda: base, CAPTIONS, 2, QUICK, pieces_in(tmp_path / "two", process, 2))
    assert content(tmp_path / "two") == content(tmp_path / "one")

    calls = []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sampled(*arguments)

    monkeypatch.setattr(fakes, "sampled", stopping)
    stopped = pieces_in(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        make_fakes("fakes", lambda: base, CAPTIONS, 2, QUICK, stopped)
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["000000"]
    make_fakes("fakes", lambda: base, CAPTIONS, 2, QUICK, stopped)
    assert content(tmp_path / "stopped") == content(tmp_path / "one")
    assert len(calls) == 4


def test_what_is_made_is_not_made_again_and_loads_no_model(base: BaseModel, tmp_path: Path) -> None:
    make_fakes("fakes", lambda: base, CAPTIONS, 1, QUICK, pieces_in(tmp_path))

    def load_base() -> BaseModel:
        raise AssertionError("the base model is not needed")

    make_fakes("fakes", load_base, CAPTIONS, 1, QUICK, pieces_in(tmp_path))
    with pytest.raises(AssertionError, match="not needed"):
        make_fakes("fakes", load_base, CAPTIONS[:2], 1, QUICK, pieces_in(tmp_path))


def test_the_settings_change_the_pictures(base: BaseModel) -> None:
    wanted = [Wanted("a", "hand", 0)]
    plain = sampled(base, wanted, QUICK)
    for other in (
        FakeSettings(steps=3, guidance=2.0),
        FakeSettings(steps=2, guidance=3.0),
        FakeSettings(steps=2, guidance=2.0, negative="malformed hand"),
    ):
        assert not torch.equal(sampled(base, wanted, other), plain)
        assert other.result_of() != QUICK.result_of()
    assert sampled(base, wanted, FakeSettings(steps=2, size=64)).shape == (1, 3, 64, 64)
    assert FakeSettings(batch=1).result_of() == FakeSettings(batch=9).result_of()


def test_unusable_sizes_prompts_and_numbers_are_named(base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size should be a multiple of 16 for mannequin, found 100"):
        sampled(base, [Wanted("a", "hand", 0)], FakeSettings(size=100))
    with pytest.raises(ValueError, match="found 'a foot'"):
        make_fakes("fakes", lambda: base, [Caption("a", "a foot")], 1, QUICK, pieces_in(tmp_path))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="not finite"):
        fakes.as_bytes(torch.tensor([0.5, torch.nan]))
