"""A picture of a trace: how the mask grew and what the critic said, step by step."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .trace import ImageRecord, Trace

DOTS_PER_INCH = 100


def plot_trace(trace: Trace, width: int = 900, height: int = 600) -> np.ndarray:
    """Draw mask area and critic's loss over the timesteps, a line for each image of the batch.

    Returns uint8 RGB `[height, width, 3]`.
    """
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    area, loss = figure.subplots(2, 1, sharex=True)
    images = len(trace.steps[0].images) if trace.steps else 0
    for image in range(images):
        records = [step.images[image] for step in trace.steps]
        timesteps = [step.timestep for step in trace.steps]
        _plot_area(area, timesteps, records, f"image {image + 1}")
        _plot_loss(loss, timesteps, records)
    _label(area, "mask area\n(% of the picture)")
    _label(loss, "critic's loss\n(lower: more like a hand)")
    loss.set_xlabel("timestep (noisy to clean)")
    figure.suptitle(_title(trace))
    if images:
        loss.invert_xaxis()
    if 1 < images <= 8:
        area.legend()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _plot_area(axes: Axes, timesteps: list[float], records: list[ImageRecord], label: str) -> None:
    axes.plot(timesteps, [100 * record.mask_area for record in records], marker="o", label=label)
    axes.set_ylim(bottom=0)


def _plot_loss(axes: Axes, timesteps: list[float], records: list[ImageRecord]) -> None:
    values = [np.nan if record.loss is None else record.loss for record in records]
    axes.plot(timesteps, values, marker="o")


def _label(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.ticklabel_format(axis="y", useOffset=False)


def _title(trace: Trace) -> str:
    if not trace.settings:
        return "Nothing was sampled with this trace: take the last guidance node's, and connect `after`"
    if not trace.steps:
        return "No step lay inside the guidance window: nothing was guided"
    guided = sum(any(image.guided for image in step.images) for step in trace.steps)
    return f"Hand guidance: {guided} of {len(trace.steps)} steps in the window guided"
