"""What would stop a preparation later is said before it begins, in one sentence."""

from pathlib import Path

import pytest

from fairhands.data.preparing.checks import check
from fairhands.data.preparing.settings import EstimateTable, FakeTable, HandSettings, Settings
from fairhands.data.preparing.tables import CaptionTable, Source

ANNOTATED = HandSettings(boxes="annotated")


def settings(**more) -> Settings:
    return Settings(**{"folder": Path("pictures"), "output": Path("out"), "hands": ANNOTATED, **more})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some things in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "file").write_text("a file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("something of mine")
    return tmp_path


def test_settings_that_are_right_pass_and_leave_no_output(folder: Path):
    check(settings())
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"folder": None}, "No dataset is given: folder names one"),
        ({"folder": Path("missing")}, "The folder of the dataset folder is missing, which is no folder."),
        ({"kind": "hagird"}, 'kind is "hagird", expected one of hagrid, 100doh'),
        ({"sources": (Source(kind="coco", folder=Path(".")),)}, 'kind is "coco", expected one of'),
        ({"hands": HandSettings(models=Path("nowhere"))}, "hand_landmarker.task, needed for finding hands, is not in"),
        ({"captions": CaptionTable(template="a {finger}")}, "template: expected {name} and {folder}"),
        ({"captions": CaptionTable(model="./none")}, "captions.model is ./none, which is neither a folder of"),
        ({"captions": CaptionTable(model="x", order=("txt",))}, "captions.order does not name model"),
        ({"fakes": FakeTable(base="file")}, "file is not a safetensors file"),
        ({"fakes": FakeTable(base="full")}, "a folder without a readable model_index.json"),
        ({"fakes": FakeTable(base="no/checkpoint")}, "no/checkpoint"),
        ({"estimates": EstimateTable(each=1)}, "estimates, which need a base model: fakes.base names one"),
        ({"estimates": EstimateTable(lowest=500, highest=400)}, "1 <= lowest <= highest < 1000"),
        ({"output": Path("full")}, "holds something else than prepared hands"),
        ({"output": Path("file")}, "holds something else than prepared hands"),
        ({"output": Path("file/out")}, "file"),
        ({"work": Path("out/work")}, "inside of the output"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(more: dict, words: str, folder: Path):
    before = sorted(folder.rglob("*"))
    with pytest.raises((ValueError, OSError)) as caught:
        check(settings(**more))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(folder.rglob("*")) == before
    assert (folder / "full" / "letter.txt").read_text() == "something of mine"
