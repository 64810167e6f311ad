"""Captions come from the first origin that has one."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fairhands.data.captions import (
    CaptionSettings,
    caption_pieces,
    captions_of,
    check_template,
    from_template,
    from_txt,
)
from fairhands.data.preparing.pieces import Pieces
from fairhands.data.preparing.records import Picture, collect_problems
from fairhands.data.problems import Problems
from fairhands.data.sources.example import Example


def pictures_in(folder: Path, *texts: str | None) -> list[Picture]:
    """Pictures of growing width, some with a text of their dataset."""
    found = []
    for number, text in enumerate(texts):
        path = folder / "peace_sign" / f"hand_{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (10 + number, 10)).save(path)
        found.append(Picture(Example(path, text=text), f"pair{number}", "real", f"key{number}", path.name))
    return found


def widths(pictures: Sequence[Image.Image]) -> list[str]:
    """Stands for a model: what it says tells which picture it saw."""
    return [f"{picture.width} wide" for picture in pictures]


def captioned(pictures: list[Picture], pieces: Pieces, captioner=widths, **settings) -> dict[str, tuple[str, str]]:
    load = None if captioner is None else lambda: captioner
    caption_pieces("captions", pictures, CaptionSettings(**settings), load, pieces)
    return {key: (caption.text, caption.origin) for key, caption in captions_of(pieces).items()}


def test_the_first_origin_with_a_caption_counts(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, "of the dataset", None, " of\nthe  dataset ", None)
    for number in (0, 1):
        pictures[number].example.picture.with_suffix(".txt").write_text(f"\ufefftext\n {number}\n", encoding="utf-8")
    pieces = Pieces(tmp_path / "pieces", {}, 3)
    found = captioned(pictures, pieces, order=("txt", "dataset", "model"))
    assert found == {
        "key0": ("text 0", "txt"),
        "key1": ("text 1", "txt"),
        "key2": ("of the dataset", "dataset"),
        "key3": ("13 wide", "model"),
    }
    assert list(found) == ["key0", "key1", "key2", "key3"]
    other = Pieces(tmp_path / "other", {}, 3)
    found = captioned(pictures, other, order=("dataset", "template"), template="a {folder}, {name}")
    assert found["key0"] == ("of the dataset", "dataset")
    assert found["key1"] == ("a peace sign, hand 1", "template")


def test_the_model_describes_all_pictures_in_batches(tmp_path: Path) -> None:
    seen = []

    def describe(pictures: Sequence[Image.Image]) -> list[str]:
        seen.append(len(pictures))
        return widths(pictures)

    pieces = Pieces(tmp_path / "pieces", {}, 5)
    found = captioned(pictures_in(tmp_path, *[None] * 7), pieces, describe, order=("model",), batch=2)
    assert [text for text, _ in found.values()] == [f"{10 + number} wide" for number in range(7)]
    assert seen == [2, 2, 1, 2]


def test_the_model_is_loaded_once_and_only_where_it_is_needed(tmp_path: Path) -> None:
    loads = []

    def load():
        loads.append(None)
        return widths

    pictures, settings = pictures_in(tmp_path, "text", None, None), CaptionSettings(order=("dataset", "model"))
    caption_pieces("captions", pictures[:1], settings, load, Pieces(tmp_path / "first", {}, 1))
    assert not loads
    for _ in range(2):
        caption_pieces("captions", pictures, settings, load, Pieces(tmp_path / "second", {}, 1))
    assert len(loads) == 1


def test_a_changed_text_is_read_again(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, None)
    pieces = Pieces(tmp_path / "pieces", {}, 1)
    assert captioned(pictures, pieces)["key0"] == ("a photo of a hand", "template")
    pictures[0].example.picture.with_suffix(".txt").write_text("new")
    assert captioned(pictures, pieces)["key0"] == ("new", "txt")


def test_pictures_without_a_caption_and_unreadable_ones_are_named_and_do_not_stop_the_others(tmp_path: Path) -> None:
    pictures = pictures_in(tmp_path, None, None, "text", None)
    pictures[0].example.picture.write_bytes(b"no picture")
    pictures[1].example.picture.with_suffix(".txt").write_bytes(b"\xff\xfe\xfa")
    pieces = Pieces(tmp_path / "pieces", {}, 4)
    found = captioned(pictures, pieces, order=("txt", "dataset", "model"))
    assert set(found) == {"key1", "key2", "key3"}
    problems = Problems()
    collect_problems(pieces, problems)
    assert problems.counts == {"unreadable picture": 1, "unreadable caption": 1, "no caption": 1}
    assert "hand_0.png" in "\n".join(line for line in problems.lines if line.startswith("no caption"))
    without = captioned(pictures, Pieces(tmp_path / "without", {}, 4), captioner=None, order=("model", "dataset"))
    assert set(without) == {"key2"}


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="{}"), max_size=30))
def test_a_template_without_fields_is_itself(template: str) -> None:
    assert from_template(template, Path("some/picture.png")) == template


@pytest.mark.parametrize("template", ["a {gesture}", "a {}", "a {name", "a }", "a {name.stem}"])
def test_templates_that_cannot_be_filled_in_are_refused_in_a_sentence(template: str) -> None:
    with pytest.raises(ValueError, match=r"^template"):
        check_template(template)
    with pytest.raises(ValueError, match=r"^template"):
        CaptionSettings(template=template)


def test_an_unknown_origin_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="txt, dataset, model, template, found 'text'"):
        CaptionSettings(order=("txt", "text"))


def test_an_empty_text_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n")
    assert from_txt(tmp_path / "a.png", Problems()) is None
    assert from_txt(tmp_path / "b.png", Problems()) is None
