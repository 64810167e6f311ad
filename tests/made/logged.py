"""What a training left for TensorBoard."""

import shutil
import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def logged(logs: Path, figure: str = "loss") -> list[tuple[int, float]]:
    """A figure step by step, as TensorBoard shows it.

    It reads the files of several runs in the order of their names, which hold the second and the process: files that
    were begun in the same second, as only tests do, are therefore given in the order in which they were written.
    """
    with tempfile.TemporaryDirectory() as ordered:
        written = sorted(logs.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        for place, file in enumerate(written):
            shutil.copy(file, Path(ordered, f"{place:04}.{file.name}"))
        events = EventAccumulator(ordered).Reload()
    return [(event.step, event.value) for event in events.Scalars(figure)]
