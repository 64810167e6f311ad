"""Prepared folders are encoded once, whatever stops it, and bad pictures leave out no good one."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fairhands.base_models import BaseModel
from fairhands.people.people import People
from fairhands.people.reading import read_sized
from fairhands.training.draw import draw_of
from tests.adapters.bases import FAMILIES
from tests.made.full_disk import limited_file_size
from tests.people.conftest import Folder, NewPeople


class Counting:
    """Counts what a base model encodes; stops it after some."""

    def __init__(self, base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures = 0
        self.prompts: list[str] = []
        self.stop_after: int | None = None
        encode, encode_text = base.encode, base.encode_text

        def counted(pictures: torch.Tensor) -> torch.Tensor:
            self.pictures += len(pictures)
            if self.stop_after is not None and self.pictures > self.stop_after:
                raise KeyboardInterrupt
            return encode(pictures)

        def counted_text(prompts: list[str], size: tuple[int, int] | None = None):
            self.prompts += prompts
            return encode_text(prompts, size)

        monkeypatch.setattr(base, "encode", counted)
        monkeypatch.setattr(base, "encode_text", counted_text)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("family", FAMILIES)
def test_latents_and_texts_are_those_that_the_base_gives(
    family: str, folder: Folder, new_people: NewPeople, new_base: Callable[[str], BaseModel]
) -> None:
    base = new_base(family)
    people = new_people(base, flip=True, precision="fp32", caption_dropout=0.5)
    examples = people.training
    for step in range(4):
        batch = examples.batch(draw_of(0, step, 2))
        with torch.no_grad():
            expected = base.encode_text(batch.captions)
        assert batch.text is not None
        torch.testing.assert_close(batch.text.states, expected.states, atol=1e-4, rtol=1e-4)
        assert (batch.text.pooled is None) == (expected.pooled is None)
        if expected.pooled is not None:
            torch.testing.assert_close(batch.text.pooled, expected.pooled, atol=1e-4, rtol=1e-4)
            assert batch.text.sizes is batch.sizes
        assert batch.sizes.dtype == torch.float32
        assert batch.sizes[0, 4:].tolist() == [8 * side for side in batch.latents.shape[2:]]
    kept = next(picture for picture in examples._pictures if picture.item.line.file_name == "images/1.png")
    pixels = read_sized(folder.path / "images" / "1.png", (200, 120))
    for flip, placed in enumerate((kept.placement, kept.placement.mirrored())):
        own = torch.from_numpy(placed.placed(pixels)).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            expected_latents = base.encode(own)[0]
        torch.testing.assert_close(examples._arrays.row(*kept.latents, flip), expected_latents, atol=1e-4, rtol=1e-4)


def test_half_precision_is_near_to_single(new_people: NewPeople) -> None:
    half, single = (next(new_people(precision=name).training.in_order(2)) for name in ("fp16", "fp32"))
    assert half.latents.dtype == torch.float32
    assert not torch.equal(half.latents, single.latents)
    torch.testing.assert_close(half.latents, single.latents, atol=2e-3, rtol=2e-3)


def test_nothing_is_encoded_twice(
    folder: Folder, new_people: NewPeople, new_base: Callable[[str], BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = new_base("SD 1.5")
    seen = Counting(base, monkeypatch)
    first = new_people(base, flip=True)
    assert seen.pictures == 24
    assert sorted(seen.prompts) == ["", "hand", "malformed hand", "right hand"]
    again = new_people(base, flip=True, regions=("face",), box_noise=0.1, caption_dropout=0.5, held_out=2)
    assert seen.pictures == 24
    assert len(seen.prompts) == 4
    assert len(again.training) == len(first.training) - 2
    for changes in ({"mark": "another"}, {"resolution": 48}, {"precision": "fp32"}, {"flip": False}):
        before = seen.pictures
        new_people(base, **{"flip": True, **changes})
        assert seen.pictures == before + (12 if changes == {"flip": False} else 24)


@pytest.mark.usefixtures("small_pieces")
def test_a_run_that_is_stopped_goes_on_to_the_same(
    folder: Folder,
    new_people: NewPeople,
    new_base: Callable[[str], BaseModel],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    base = new_base("SD 1.5")
    whole = list(new_people(base).training.in_order(3))
    (tmp_path / "cache").rename(tmp_path / "whole")
    seen = Counting(base, monkeypatch)
    seen.stop_after = 7
    with pytest.raises(KeyboardInterrupt):
        new_people(base)
    left = [path for path in (tmp_path / "cache").rglob("*") if ".part" in path.name]
    assert not left
    seen.pictures, seen.stop_after = 0, None
    found = list(new_people(base).training.in_order(3))
    assert seen.pictures == 8  # one of the three pieces was there
    assert all(torch.equal(one.latents, other.latents) for one, other in zip(found, whole, strict=True))


@pytest.mark.usefixtures("small_pieces")
def test_a_changed_picture_is_encoded_again_with_its_piece_alone(
    folder: Folder, new_people: NewPeople, new_base: Callable[[str], BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = new_base("SD 1.5")
    before = list(new_people(base).training.in_order(1))
    seen = Counting(base, monkeypatch)
    Image.new("RGB", (200, 120), (255, 0, 0)).save(folder.path / "images" / "5.png")
    after = list(new_people(base).training.in_order(1))
    assert seen.pictures == 4
    differ = [not torch.equal(one.latents, other.latents) for one, other in zip(before, after, strict=True)]
    assert sum(differ) == 1


@pytest.mark.usefixtures("small_pieces")
def test_a_changed_mask_or_box_is_seen(folder: Folder, new_people: NewPeople) -> None:
    before = next(new_people().training.in_order(12))
    Image.new("L", (120, 200), 255).save(folder.path / "masks" / "2.png")
    folder.lines[6] = replace(folder.lines[6], boxes={"face": (), "hand": ((0.0, 0.0, 120.0, 200.0),)})
    folder.write()
    after = next(new_people().training.in_order(12))
    assert before.masks["hand"].mean() < 0.5
    assert sum(bool((mask == 1).all()) for mask in after.masks["hand"]) == 2


def test_bad_pictures_are_named_and_leave_out_no_good_one(
    folder: Folder, new_people: NewPeople, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.path
    (path / "images" / "0.png").write_bytes(b"no picture")
    (path / "images" / "1.png").unlink()
    (path / "masks" / "2.png").unlink()
    Image.new("RGB", (99, 99)).save(path / "images" / "3.png")
    Image.new("L", (99, 99)).save(path / "masks" / "5.png")
    for number, changes in ((7, {"text": ""}), (9, {"width": 15, "boxes": {"face": (), "hand": ()}})):
        folder.lines[number] = replace(folder.lines[number], **changes)
    folder.write()
    for _ in range(2):  # encoded, and from the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            people = new_people()
        assert people.problems.counts == {
            "empty caption": 1,
            "too small picture": 1,
            "unreadable picture": 1,
            "missing picture": 1,
            "missing mask": 1,
            "picture of another size": 1,
            "mask of another size": 1,
        }
        assert len(people.training) == 5
        assert f"5 pictures in {path}" not in caplog.text
        assert f"7 of 12 pictures in {path} are left out; found: empty caption 1, " in caplog.text
        for line in (1, 2, 3, 4, 6, 8, 10):
            assert f"{path / 'metadata.jsonl'}, line {line}:" in caplog.text


def test_pictures_without_usable_conditioning_are_left_out_where_it_is_asked_for(
    folder: Folder, new_people: NewPeople
) -> None:
    (folder.path / "pose" / "0.png").write_bytes(b"no picture")
    (folder.path / "pose" / "1.png").unlink()
    Image.new("RGB", (99, 99)).save(folder.path / "pose" / "2.png")
    folder.lines[3] = replace(folder.lines[3], conditioning={})
    folder.write()
    assert len(new_people().training) == 12
    for _ in range(2):
        people = new_people(conditioning="pose")
        assert people.problems.counts == {
            "missing conditioning": 2,
            "unreadable conditioning": 1,
            "conditioning of another size": 1,
        }
        assert len(people.training) == 8
        assert sum(len(batch) for batch in people.training.in_order(3)) == 8


def test_where_nothing_is_left_one_sentence_says_why(folder: Folder, new_people: NewPeople) -> None:
    for path in (folder.path / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of the 12 pictures in .* can be used: unreadable picture 12 \(first"):
        new_people()
    folder.lines.clear()
    folder.write()
    with pytest.raises(ValueError, match=r"none of the 0 pictures in .* can be used: they are empty"):
        new_people()


def test_what_the_folders_do_not_have_is_named(new_people: NewPeople) -> None:
    with pytest.raises(ValueError, match='say nothing of the region "foot"; known are: face, hand'):
        new_people(regions=("face", "foot"))
    with pytest.raises(ValueError, match='have no "depth" pictures for a ControlNet; there are: pose'):
        new_people(conditioning="depth")
    with pytest.raises(ValueError, match=r"data.prepared names no folder"):
        new_people(prepared=())
    with pytest.raises(ValueError, match=r"data.held_out is 12, expected fewer than the 12 usable pictures"):
        new_people(held_out=12)


def test_held_out_pictures_are_not_trained_on_and_stay_the_same(folder: Folder, new_people: NewPeople) -> None:
    people = new_people(held_out=4)

    def names(of: People, held_out: bool) -> set[str]:
        return {kept.item.line.file_name for kept in (of.held_out if held_out else of.training)._pictures}

    assert (len(people.training), len(people.held_out)) == (8, 4)
    assert len(names(people, True) | names(people, False)) == 12
    assert names(new_people(held_out=4), True) == names(people, True)
    assert names(new_people(held_out=4, seed=1), True) != names(people, True)
    assert names(new_people(held_out=6), True) > names(people, True)
    assert len(new_people().held_out) == 0
    assert list(new_people().held_out.in_order(2)) == []


def test_several_folders_are_one(folder: Folder, tmp_path: Path, new_people: NewPeople) -> None:
    second = Folder(tmp_path / "second")
    for number in range(3):
        second.add(number + 50, (128, 128))
    second.write()
    assert len(new_people(prepared=(folder.path, second.path)).training) == 15


def test_prompts_of_samples_need_the_base_once(
    new_people: NewPeople, new_base: Callable[[str], BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = new_base("SDXL")
    people = new_people(base)
    with torch.no_grad():
        expected = base.encode_text(["a hand", ""], (96, 64))
    found = people.text(["a hand", ""], (96, 64))
    seen = Counting(base, monkeypatch)
    again = people.text(["", "a hand"], (96, 64))
    assert not seen.prompts
    torch.testing.assert_close(found.states, expected.states, atol=1e-5, rtol=1e-5)
    assert torch.equal(again.states, found.states[[1, 0]])
    assert found.sizes is not None
    assert found.sizes[0].tolist() == [96, 64, 0, 0, 96, 64]


def test_captions_are_not_encoded_where_text_encoders_are_trained(
    new_people: NewPeople, new_base: Callable[[str], BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = new_base("SD 1.5")
    seen = Counting(base, monkeypatch)
    batch = new_people(base, encode_text=False).training.batch(draw_of(0, 0, 2))
    assert batch.text is None
    assert not seen.prompts
    assert len(batch.captions) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of files")
def test_a_full_disk_leaves_nothing_half_written(folder: Folder, new_people: NewPeople, tmp_path: Path) -> None:
    with (
        limited_file_size(3000),
        pytest.raises(OSError, match=r"The cache in .* cannot be written or read: .*File too large"),
    ):
        new_people()
    assert not list((tmp_path / "cache" / "latents").rglob("*.npy"))
    assert not list((tmp_path / "cache" / "latents").rglob("*part*"))
    assert len(new_people().training) == 12
