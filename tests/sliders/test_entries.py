from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.sliders.entries import Entries
from fairhands.sliders.prompts import SliderPrompts
from fairhands.training.draw import draw_of


def pair(name: str, **changes) -> SliderPrompts:
    values = {"target": name, "neutral": name, "positives": (f"good {name}",), "negatives": (f"bad {name}",)}
    return SliderPrompts.model_validate({**values, **changes})


def targets(entries: Entries, step: int, batch: int, part: int = 0, parts: int = 1) -> list[str]:
    return [example.entry.target for example in entries.examples(draw_of(0, step, batch, part, parts))]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1000))
def test_over_all_passes_of_a_step_pairs_are_taken_in_turn(pairs: int, batch: int, parts: int, step: int) -> None:
    entries = Entries([pair(str(number)) for number in range(pairs)], 512)
    seen = [name for part in range(parts) for name in targets(entries, step, batch, part, parts)]
    counts = Counter(seen)
    assert len(seen) == batch * parts
    assert max(counts.values()) - min(counts[str(number)] for number in range(pairs)) <= 1


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_passes_see_together_what_one_large_pass_sees(batch: int, parts: int, step: int) -> None:
    entries = Entries([pair("a", attributes=("1", "2", "3")), pair("b", positives=("x", "y", "z"))], 512)
    whole = entries.examples(draw_of(0, step, batch * parts))
    found = [
        (example.entry, example.positive, example.negative)
        for part in range(parts)
        for example in entries.examples(draw_of(0, step, batch, part, parts))
    ]
    assert found == [(example.entry, example.positive, example.negative) for example in whole]


def test_all_pairs_come_equally_often_whatever_their_resolution() -> None:
    entries = Entries([pair("a"), pair("b", resolution=256), pair("c"), pair("d")], 512)
    counts = Counter(name for step in range(2000) for name in targets(entries, step, 1))
    assert all(440 < counts[name] < 560 for name in "abcd")
    for step in range(50):
        assert len({example.entry.resolution for example in entries.examples(draw_of(0, step, 4))}) == 1


def test_an_attribute_comes_before_all_four_prompts() -> None:
    (entry,) = Entries([pair("hands", attributes=("man",))], 512).all()
    assert entry.prompts == ("man hands", "man hands", "man good hands", "man bad hands")


def test_sampled_attributes_and_prompts_come_equally_often() -> None:
    entries = Entries([pair("h", attributes=("a", "b"), positives=("p", "q"), negatives=("m", "n"))], 512)
    counts = Counter(
        (example.entry.target, example.positive[-1], example.negative[-1])
        for step in range(2000)
        for example in entries.examples(draw_of(0, step, 1))
    )
    assert len(counts) == 8
    assert all(190 < count < 310 for count in counts.values())


def test_averaged_attributes_share_the_place_and_the_weight_of_one_example() -> None:
    entries = Entries([pair("x", attributes=("a", "b", "c")), pair("y")], 512, "averaged")
    examples = entries.examples(draw_of(0, 0, 2))
    by_place = {at: [example for example in examples if example.at == at] for at in (0, 1)}
    assert sorted(len(found) for found in by_place.values()) == [1, 3]
    for found in by_place.values():
        assert sum(example.share for example in found) == pytest.approx(0.5)
        assert len({(example.positive[-6:], example.negative[-5:]) for example in found}) == 1


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=4))
def test_weights_count_relative_to_each_other(weights: list[float]) -> None:
    entries = Entries([pair(str(number), weight=weight) for number, weight in enumerate(weights)], 512)
    shares = {example.entry.target: example.share for example in entries.examples(draw_of(0, 0, len(weights)))}
    assert sum(shares.values()) == pytest.approx(1)
    for number, weight in enumerate(weights):
        assert shares[str(number)] == pytest.approx(weight / sum(weights))
