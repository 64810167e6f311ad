"""Compare two ways of doing a thing on a machine whose speed drifts: in turn, pair by pair."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Pairs:
    """Seconds of both sides, pair by pair."""

    ours: list[float]
    baseline: list[float]

    def figures(self, name: str) -> dict[str, float]:
        """Median, smallest and largest ratio, under the keys `name`, `name_min` and `name_max`."""
        ratios = [one / other for one, other in zip(self.ours, self.baseline, strict=True)]
        return {
            name: round(statistics.median(ratios), 4),
            f"{name}_min": round(min(ratios), 4),
            f"{name}_max": round(max(ratios), 4),
        }


def interleave(ours: Callable[[], float], baseline: Callable[[], float], pairs: int, warmups: int = 1) -> Pairs:
    """Run both in turn; each returns the seconds that it took. The order within a pair alternates."""
    for _ in range(warmups):
        ours()
        baseline()
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for side in ((0, 1), (1, 0))[pair % 2]:
            seconds[side].append((ours, baseline)[side]())
    return Pairs(*seconds)


def timed(work: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """The same work, several times over, returning its seconds; a GPU is waited for."""

    def run() -> float:
        wait_for_gpu()
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait_for_gpu()
        return time.perf_counter() - start

    return run


def wait_for_gpu() -> None:
    """Return once a GPU, where there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
