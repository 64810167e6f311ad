"""Work done ahead in threads, as far as memory is meant to hold it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Given], Made], given: Iterable[Given], workers: int) -> Generator[Made, None, None]:
    """What `make` gives of each, in order; up to `workers` + 1 are made or ready before they are asked for.

    What `make` raises is raised where its result would have come. Nothing is begun any more once the iterator is
    closed.

    Args:
        make: can be called in several threads at once.
        given: may be endless; taken from in this thread.
        workers: threads.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as threads:
        for one in given:
            waiting.append(threads.submit(make, one))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
