import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.one_line import LONGEST, is_number, one_line

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_whatever_is_given_it_is_one_short_line(value: object) -> None:
    line = one_line(value)
    assert len(line) <= LONGEST
    assert len(line.splitlines()) <= 1


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, ""),
        (3, "3"),
        ("two\n lines", "two lines"),
        (["face", "hand"], "face, hand"),
        ({"pairs": 7, "kind": "drawn", "nested": [1], "on": True}, "pairs 7, kind drawn"),
        ("x" * 200, "x" * (LONGEST - 3) + "..."),
    ],
)
def test_values_are_told_plainly(value: object, line: str) -> None:
    assert one_line(value) == line


def test_true_is_no_number() -> None:
    assert is_number(1)
    assert is_number(0.5)
    assert not is_number(True)
    assert not is_number("1")
