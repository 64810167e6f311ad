"""A picture of a trace: how the mask grew, what the critic said and how strong guidance was, step by step."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .trace import ImageRecord, Trace

DOTS_PER_INCH = 100  # letters of small plots are smaller
MOST_IN_LEGEND = 8
DARK, GREY = "#333333", "#888888"


def plot_trace(trace: Trace, width: int = 900, height: int = 600) -> np.ndarray:
    """Draw what there is over the timesteps, a colour for each image of the batch.

    Mask area; the critic's loss, dashed after the step where that was measured; with textual guidance the strengths
    and the norm of the hand LoRA's difference. Returns uint8 RGB `[height, width, 3]`.
    """
    dots = DOTS_PER_INCH * min(1.0, max(0.5, min(width / 900, height / 600)))
    # The canvas cuts off fractions of a pixel.
    figure = Figure(figsize=((width + 0.5) / dots, (height + 0.5) / dots), dpi=dots, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = _panels(trace)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis, trace)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.yaxis.label.set_size(9)
    axes[-1].set_xlabel("timestep (noisy to clean)")
    figure.suptitle(_title(trace), fontsize=12)
    if trace.steps:
        axes[-1].invert_xaxis()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


Panel = Callable[[Axes, Trace], None]


def _panels(trace: Trace) -> list[Panel]:
    """The critic's panel is left out only where the hand LoRA guided alone."""
    textual = any(step.lora_strength for step in trace.steps)
    judged = any(image.loss is not None for step in trace.steps for image in step.images)
    panels: list[Panel] = [_plot_area]
    if judged or not textual:
        panels.append(_plot_loss)
    if textual:
        panels.append(_plot_strengths)
    return panels


def _plot_area(axes: Axes, trace: Trace) -> None:
    images = len(trace.steps[0].images) if trace.steps else 0
    for image in range(images):
        values = _values(trace, image, lambda record: 100 * record.mask_area)
        axes.plot(_timesteps(trace), values, color=f"C{image}", marker="o", markersize=4, label=f"image {image + 1}")
    axes.set_ylabel("mask area\n(% of the picture)")
    # Room above, also for an area that never changes.
    axes.set_ylim(0, 1.1 * max([*(100 * record.mask_area for step in trace.steps for record in step.images), 1.0]))
    if 1 < images <= MOST_IN_LEGEND:
        _legend_above(axes)


def _plot_loss(axes: Axes, trace: Trace) -> None:
    measured = False
    for image in range(len(trace.steps[0].images) if trace.steps else 0):
        before = _values(trace, image, lambda record: record.loss)
        after = _values(trace, image, lambda record: record.loss_after)
        axes.plot(_timesteps(trace), before, color=f"C{image}", marker="o", markersize=4)
        if not np.isnan(after).all():
            measured = True
            axes.plot(_timesteps(trace), after, color=f"C{image}", linestyle="--", marker="v", markersize=4)
    if measured:
        axes.plot([], [], color=GREY, marker="o", markersize=4, label="before the step")
        axes.plot([], [], color=GREY, linestyle="--", marker="v", markersize=4, label="after it")
        _legend_above(axes)
    axes.set_ylabel("critic's loss\n(lower: more like a hand)")
    axes.ticklabel_format(axis="y", useOffset=False)


def _plot_strengths(axes: Axes, trace: Trace) -> None:
    """Strengths on the left, the difference's norm for each image on the right."""
    visual = [step.visual_strength for step in trace.steps]
    if any(visual):
        axes.plot(_timesteps(trace), visual, color=GREY, linestyle=":", marker="s", markersize=4, label="w")
    textual = [step.lora_strength for step in trace.steps]
    axes.plot(_timesteps(trace), textual, color=DARK, linestyle=":", marker="D", markersize=4, label="v")
    axes.set_ylabel("strength")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), max(high, 0.0))
    norms = axes.twinx()
    for image in range(len(trace.steps[0].images)):
        values = _values(trace, image, lambda record: record.difference_rms)
        norms.plot(_timesteps(trace), values, color=f"C{image}", marker="o", markersize=4)
    norms.set_ylabel("LoRA's difference\n(rms in the mask)", fontsize=9)
    norms.spines[["top", "left"]].set_visible(False)
    norms.set_ylim(bottom=0)
    axes.plot([], [], color="C0", marker="o", markersize=4, label="difference")
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    """A legend in a line over the panel, where it hides no curve."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=MOST_IN_LEGEND,
        frameon=False,
        fontsize=8,
        borderaxespad=0,
        columnspacing=1.2,
    )


def _timesteps(trace: Trace) -> list[float]:
    return [step.timestep for step in trace.steps]


def _values(trace: Trace, image: int, value: Callable[[ImageRecord], float | None]) -> np.ndarray:
    """A number of one image at each step, NaN where there is none."""
    return np.array([value(step.images[image]) for step in trace.steps], dtype=float)


def _title(trace: Trace) -> str:
    if not trace.settings:
        return "Nothing was sampled with this trace: take the last guidance node's, and connect `after`"
    if not trace.steps:
        return "No step lay inside the guidance window: nothing was guided"
    guided = sum(any(image.guided for image in step.images) for step in trace.steps)
    return f"Hand guidance: {guided} of {len(trace.steps)} steps in the window guided"
