"""What would stop a preparation later is said before it begins, in one sentence."""

import json
from pathlib import Path

import pytest
from transformers import BertConfig

from fairhands.data.preparing_humans.checks import check
from fairhands.data.preparing_humans.settings import Captions, DepthSettings, FaceSettings, HandSettings, Settings

ANNOTATED = {"faces": FaceSettings(boxes="annotated"), "hands": HandSettings(boxes="annotated")}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some things in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name, kind in (("people", "people"), ("hands", "hand pairs")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"kind": kind}))
        (tmp_path / name / "metadata.jsonl").touch()
    BertConfig().save_pretrained(tmp_path / "bert")
    return tmp_path


def settings(**more) -> Settings:
    return Settings(**{"folder": Path("pictures"), "output": Path("out"), **ANNOTATED, **more})


def test_settings_that_are_right_pass_also_over_an_earlier_output(folder: Path, tiny_depth_model: Path):
    check(settings())
    check(settings(output=Path("people"), depth=DepthSettings(model=str(tiny_depth_model))))
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"folder": None}, "No dataset is given"),
        ({"kind": "coco"}, 'kind is "coco", expected one of'),
        ({"faces": FaceSettings(), "models": Path("nowhere")}, "needed for finding faces, is not in nowhere"),
        ({"hands": HandSettings(), "models": Path("nowhere")}, "needed for finding hands, is not in nowhere"),
        ({"captions": Captions(template="{finger}")}, "expected {name} and {folder}"),
        ({"depth": DepthSettings(model="nothing")}, "depth.model is nothing, which is neither a folder"),
        ({"depth": DepthSettings(model="bert")}, "a model of the kind bert: it knows no depth"),
        ({"output": Path("pictures/..")}, "holds something else than prepared people"),
        ({"output": Path("hands")}, "holds something else than prepared people"),
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
