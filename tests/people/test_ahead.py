import threading
from collections.abc import Iterator
from itertools import count

import pytest

from fairhands.people.ahead import made_ahead


def test_results_come_in_order_and_all_of_them() -> None:
    assert list(made_ahead(lambda number: number**2, range(50), 4)) == [number**2 for number in range(50)]
    assert list(made_ahead(str, [], 2)) == []


def test_no_more_is_made_than_memory_is_meant_to_hold() -> None:
    taken: list[int] = []

    def given() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    results = made_ahead(str, given(), workers=3)
    for number in range(5):
        assert next(results) == str(number)
    assert len(taken) == 5 + 3


def test_it_is_made_in_other_threads() -> None:
    both = threading.Barrier(2, timeout=20)
    names = list(made_ahead(lambda _: (both.wait(), threading.current_thread().name)[1], range(2), 2))
    assert len(set(names)) == 2


def test_an_error_comes_in_its_place() -> None:
    results = made_ahead(lambda number: 6 // number, [3, 2, 0, 1], 2)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_is_begun_once_it_is_closed() -> None:
    before = threading.active_count()
    begun: list[int] = []
    results = made_ahead(begun.append, count(), 2)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(begun) <= 3
