from pathlib import Path

import pytest
from pydantic import Field

from fairhands.mannequin_world.prompts import PROMPTS
from fairhands.sliders.prompts import MANNEQUIN, PRESETS, SliderPrompts
from fairhands.training.configuration import Configuration, ConfigurationError, example, read


class Wanted(Configuration):
    prompts: tuple[SliderPrompts, ...] = Field(default=(), description="Pairs.")


def written(folder: Path, text: str) -> Wanted:
    file = folder / "hands.toml"
    file.write_text(text)
    return read(Wanted, file)


def test_a_list_of_prompts_is_read_from_toml(tmp_path: Path) -> None:
    text = """
        [[prompts]]
        positives = ["right hands"]
        negatives = ["wrong hands", "no hands"]
        attributes = ["man", "woman"]
        eta = 2

        [[prompts]]
        target = "glove"
        neutral = "glove"
        positives = ["good glove"]
        negatives = ["bad glove"]
        resolution = 768
        weight = 0.5
    """
    first, second = written(tmp_path, text).prompts
    assert (first.target, first.neutral, first.eta, first.resolution, first.weight) == ("hands", "hands", 2, None, 1)
    assert first.negatives == ("wrong hands", "no hands")
    assert first.attributes == ("man", "woman")
    assert (second.resolution, second.weight, second.eta) == (768, 0.5, 4)


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'"prompts.0.negativs" .*closest known key is "prompts.0.negatives"'):
        written(tmp_path, '[[prompts]]\npositives = ["a"]\nnegativs = ["b"]\n')


@pytest.mark.parametrize("missing", ["positives", "negatives"])
@pytest.mark.parametrize("as_empty", [False, True])
def test_prompts_without_an_end_are_refused(tmp_path: Path, missing: str, as_empty: bool) -> None:
    given = {"positives": '["a"]', "negatives": '["b"]'}
    if as_empty:
        given[missing] = "[]"
    else:
        del given[missing]
    with pytest.raises(ConfigurationError, match=f'"prompts.0.{missing}" in .*should name at least one prompt'):
        written(tmp_path, "\n".join(["[[prompts]]", *(f"{key} = {value}" for key, value in given.items())]))


def test_the_example_shows_the_keys_of_a_pair() -> None:
    assert "# [[prompts]]" in example(Wanted, "")
    assert '# target = "hands"' in example(Wanted, "")


def test_the_mannequin_preset_asks_for_what_the_mannequin_model_knows() -> None:
    (pair,) = PRESETS[MANNEQUIN]
    assert {pair.target, pair.neutral, *pair.positives, *pair.negatives} <= set(PROMPTS)


def test_presets_lead_between_prompts_that_differ() -> None:
    assert set(PRESETS) == {"hands", "natural_hands", "holding_objects", "stylised_hands", MANNEQUIN}
    for pairs in PRESETS.values():
        for pair in pairs:
            assert not set(pair.positives) & set(pair.negatives)
            assert all("hand" in prompt for prompt in (pair.target, *pair.positives, *pair.negatives))
