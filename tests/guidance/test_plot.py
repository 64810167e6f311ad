import json

import numpy as np

from fairhands.guidance.plot import plot_trace
from fairhands.guidance.trace import ImageRecord, StepRecord, Trace


def trace(losses: list[float | None]) -> Trace:
    steps = []
    for index, loss in enumerate(losses):
        image = ImageRecord(hands=[], mask_area=0.1 * index, loss=loss, gradient_rms=None if loss is None else 1.0)
        steps.append(StepRecord(timestep=600.0 - 100 * index, sigma=1.0, step_size=0.1, images=[image]))
    return Trace(steps=steps)


def test_a_plot_has_the_size_asked_for_and_shows_the_curve() -> None:
    empty, drawn = plot_trace(trace([None, None]), 500, 300), plot_trace(trace([0.5, 0.1]), 500, 300)
    assert drawn.shape == (300, 500, 3)
    assert drawn.dtype == np.uint8
    assert not np.array_equal(empty, drawn)


def test_a_run_without_a_guided_step_is_drawn_too() -> None:
    assert plot_trace(Trace()).std() > 0


def test_the_trace_as_json_holds_every_number() -> None:
    steps = json.loads(trace([0.5, None]).to_json())["steps"]
    assert [step["images"][0]["loss"] for step in steps] == [0.5, None]
    assert [step["timestep"] for step in steps] == [600.0, 500.0]
