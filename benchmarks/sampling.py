"""Guidance against the plain KSampler at SD1.5's full size, in a real ComfyUI server: time, operations, memory.

512 px and 50 steps on a GPU, 256 px and 10 steps on a processor, bfloat16, a batch of two for classifier-free guidance.
Weights are random (see bench_nodes/weights.py), so a start mask stands for the hand; hands are looked for all the same.
"""

import itertools
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools import comfyui, environment
from devtools.client import ComfyClient
from devtools.server import ComfyServer
from devtools.steps import StepFailed

from .pairs import Pairs, interleave
from .sampling_graph import MOVES, PLAIN, Graphs, Scale, require_guided

PAIRS = 3
GPU, PROCESSOR = Scale(512, 50), Scale(256, 10)
NODES = Path(__file__).parent / "bench_nodes"
# glibc then gives each larger block back at once, so that what is resident is what is in use.
GIVE_MEMORY_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


def run() -> dict[str, float]:
    """Seconds and ratios of whole runs, TFLOP of single guided steps, ratios of peak memory."""
    with _server() as (client, graphs):
        figures = _operations(client, graphs) | _times(client, graphs)
    with _server(GIVE_MEMORY_BACK) as (client, graphs):
        return figures | _memory(client, graphs)


def _times(client: ComfyClient, graphs: Graphs) -> dict[str, float]:
    seeds = itertools.count()

    def seconds(guidance: str) -> float:
        return _sample(client, graphs, guidance, next(seeds))[0]

    # All is warm from counting the operations.
    measured: dict[str, Pairs] = {
        guidance: interleave(lambda kind=guidance: seconds(kind), lambda: seconds(PLAIN), PAIRS, warmups=0)
        for guidance in MOVES
    }
    plain = [one for pairs in measured.values() for one in pairs.baseline]
    figures = {"sampling_seconds_plain": round(statistics.median(plain), 3)}
    for guidance, pairs in measured.items():
        figures[f"sampling_seconds_{guidance}"] = round(statistics.median(pairs.ours), 3)
        figures |= pairs.figures(f"sampling_ratio_{guidance}")
    return figures


def _operations(client: ComfyClient, graphs: Graphs) -> dict[str, float]:
    """TFLOP of a step: two rows through the U-Net, and what guidance adds."""
    figures = {}
    for guidance in (PLAIN, *MOVES):
        (operations,) = client.run(graphs.operations(guidance)).outputs["operations"]["operations"]
        name = "plain" if guidance == PLAIN else guidance
        figures[f"step_tflop_{name}"] = round(operations / 1e12, 4)
    return figures


def _memory(client: ComfyClient, graphs: Graphs) -> dict[str, float]:
    """Ratio of the peaks while sampling, the server's own memory before any model taken off; none without peaks."""
    idle = client.run(graphs.idle()).outputs["result"]["peak"][0]
    peaks = {guidance: _sample(client, graphs, guidance, 0)[1] for guidance in (PLAIN, "fast")}
    if not idle and not peaks[PLAIN]:
        return {}
    return {
        "sampling_gigabytes_plain": round((peaks[PLAIN] - idle) / 1e9, 3),
        "sampling_gigabytes_fast": round((peaks["fast"] - idle) / 1e9, 3),
        "sampling_memory_fast": round((peaks["fast"] - idle) / (peaks[PLAIN] - idle), 4),
    }


def _sample(client: ComfyClient, graphs: Graphs, guidance: str, seed: int) -> tuple[float, int]:
    """The sampler's seconds and the peak of memory in bytes, of a run that was really guided."""
    run = client.run(graphs.sample(guidance, seed))
    if guidance != PLAIN:
        require_guided(run.outputs["trace"]["text"][0], guidance, graphs.scale.steps // 2)
    return run.seconds["sampler"], run.outputs["result"]["peak"][0]


@contextmanager
def _server(variables: dict[str, str] | None = None) -> Iterator[tuple[ComfyClient, Graphs]]:
    """A fresh server with the benchmark's nodes and, where given, environment variables of its own."""
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("Nothing is set up yet: run `python3 dev.py bench`.")
    with tempfile.TemporaryDirectory() as base:
        shutil.copytree(NODES, Path(base) / "custom_nodes" / NODES.name)
        with _environment(variables or {}), ComfyServer(comfy_ui, prepared, Path(base)) as server:
            client = ComfyClient(server.address)
            yield client, Graphs(client, GPU if prepared.cuda else PROCESSOR)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Inside, processes start with these environment variables, too."""
    before = {name: os.environ.pop(name) for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)
