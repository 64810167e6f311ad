import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.critic.config import CriticConfig, Transformer
from fairhands.critic.summary import readable
from fairhands.one_line import LONGEST

SUMMARY = {
    "command": "python -m trainers.discriminator",
    "seed": 3,
    "steps": 520,
    "data": "1200 pairs of hands",
    "held_out": {"pairs": 140, "accuracy": 0.90714, "auc": 0.94184, "auc_by_kind": {"fused": 1.0}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_a_whole_summary_is_told_in_four_lines() -> None:
    assert readable(CriticConfig(), SUMMARY, "Apache-2.0").splitlines() == [
        "network: conv, 64 px, judges without texts",
        "trained on: 1200 pairs of hands, steps 520, seed 3",
        "held out: accuracy 0.907, AUC 0.942",
        "licence: Apache-2.0",
    ]


def test_a_transformer_and_texts_are_named() -> None:
    vit = Transformer("facebook/dino-vits16", {"model_type": "vit"})
    config = CriticConfig(backbone="vit", input_size=224, text_dimension=768, transformer=vit)
    first = "network: vit (facebook/dino-vits16), 224 px, judges with texts of "
    assert readable(config, SUMMARY, "").startswith(f"{first}768 numbers\n")
    config = CriticConfig("vit", 224, text_dimension=768, text_encoder="openai/clip", transformer=vit)
    assert readable(config, SUMMARY, "").startswith(f"{first}openai/clip\n")


def test_what_is_missing_is_called_unknown() -> None:
    assert readable(CriticConfig(), {}, "").splitlines()[1:] == [
        "trained on: unknown",
        "held out: unknown",
        "licence: unknown",
    ]


@pytest.mark.parametrize(
    ("held_out", "line"),
    [
        ({"auc": 1}, "AUC 1.000"),
        ({"accuracy": None, "auc": 0.5}, "AUC 0.500"),
        ({"accuracy": math.nan, "auc": 10**400}, "unknown"),
        ({"accuracy": True, "auc": -0.1}, "unknown"),
        ({"accuracy": "high"}, "unknown"),
        ([0.9], "unknown"),
        (None, "unknown"),
    ],
)
def test_figures_that_are_there_are_told(held_out: object, line: str) -> None:
    assert f"held out: {line}\n" in readable(CriticConfig(), {"held_out": held_out}, "")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"pairs": 12, "folder": "hands", "model": None}, "pairs 12, folder hands"),
        (["hagrid", "freihand"], "hagrid, freihand"),
        ("two\n  lines", "two lines"),
    ],
)
def test_data_of_any_form_is_told_in_a_line(data: object, line: str) -> None:
    assert f"trained on: {line}\n" in readable(CriticConfig(), {"data": data}, "")


@given(st.dictionaries(st.sampled_from(["seed", "steps", "data", "held_out", "command"]), JSON), st.text())
def test_whatever_a_file_holds_gives_four_lines_of_bearable_length(summary: dict[str, object], licence: str) -> None:
    lines = readable(CriticConfig(), summary, licence).split("\n")
    assert [line.partition(":")[0] for line in lines] == ["network", "trained on", "held out", "licence"]
    assert max(map(len, lines)) < LONGEST + 20
