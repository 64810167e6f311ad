import numpy as np
import pytest

from fairhands.guidance.plot import _panels, _title, plot_trace
from fairhands.guidance.trace import ImageRecord, StepRecord, Trace


def trace(
    losses: list[float | None],
    after: float | None = None,
    v: float = 0.0,
    difference: float | None = None,
    images: int = 1,
) -> Trace:
    steps = []
    for index, loss in enumerate(losses):
        found = [
            ImageRecord(
                mask_area=0.1 * index + 0.05 * image,
                loss=loss,
                loss_after=after,
                step_rms=None if loss is None else 0.1,
                difference_rms=difference,
            )
            for image in range(images)
        ]
        w = 0.0 if loss is None else 1.0
        steps.append(StepRecord(600.0 - 100 * index, 1.0, visual_strength=w, lora_strength=v, images=found))
    return Trace({"w": 1.0}, steps)


def different(one: Trace, other: Trace) -> bool:
    return not np.array_equal(plot_trace(one, 500, 400), plot_trace(other, 500, 400))


def panels(of: Trace) -> list[str]:
    return [panel.__name__ for panel in _panels(of)]


@pytest.mark.parametrize("size", [(900, 600), (500, 300), (300, 200), (301, 777)])
def test_a_plot_has_the_size_asked_for(size: tuple[int, int]) -> None:
    drawn = plot_trace(trace([0.5, 0.1]), *size)
    assert drawn.shape == (size[1], size[0], 3)
    assert drawn.dtype == np.uint8


def test_the_curves_show_area_and_loss() -> None:
    assert panels(trace([0.5, 0.1])) == ["_plot_area", "_plot_loss"]
    assert different(trace([0.5, None]), trace([0.5, 0.1]))
    larger = trace([0.5, 0.1])
    larger.steps[1].images[0].mask_area = 0.9
    assert different(larger, trace([0.5, 0.1]))


def test_the_loss_after_the_step_is_drawn_where_it_was_measured() -> None:
    assert different(trace([0.5, 0.1], after=0.05), trace([0.5, 0.1]))
    assert different(trace([0.5, 0.1], after=0.2), trace([0.5, 0.1], after=0.3))


def test_textual_guidance_has_a_panel_of_its_own() -> None:
    both = trace([0.5, 0.1], v=1.0, difference=0.2)
    assert panels(both) == ["_plot_area", "_plot_loss", "_plot_strengths"]
    growing = trace([0.5, 0.1], v=1.0, difference=0.2)
    growing.steps[1].images[0].difference_rms = 0.4
    assert different(both, growing)
    stronger = trace([0.5, 0.1], v=1.0, difference=0.2)
    stronger.steps[1].lora_strength = 3.0
    assert different(both, stronger)


def test_a_run_with_the_hand_lora_alone_has_no_panel_for_losses() -> None:
    alone = trace([None, None], v=1.0, difference=0.2)
    assert panels(alone) == ["_plot_area", "_plot_strengths"]
    assert plot_trace(alone).std() > 0
    unseen = trace([None, None], v=1.0)
    assert plot_trace(unseen).std() > 0


@pytest.mark.parametrize("images", [2, 8, 9, 20])
def test_a_batch_has_a_curve_for_each_image(images: int) -> None:
    assert different(trace([0.5, 0.1], 0.05, 1.0, 0.2, images), trace([0.5, 0.1], 0.05, 1.0, 0.2, images - 1))


def test_a_loss_that_is_no_number_is_a_gap() -> None:
    assert plot_trace(trace([0.5, float("nan"), 0.1])).std() > 0
    assert plot_trace(trace([float("nan")], v=1.0, difference=0.1)).std() > 0


def test_an_empty_trace_is_drawn_and_its_title_says_why_it_is_empty() -> None:
    assert plot_trace(Trace()).std() > 0
    assert "connect `after`" in _title(Trace())
    assert "No step lay inside the guidance window" in _title(Trace({"w": 1.0}))
    assert different(Trace(), Trace({"w": 1.0}))


def test_the_title_counts_the_guided_steps() -> None:
    assert _title(trace([None, 0.5, 0.1])) == "Hand guidance: 2 of 3 steps in the window guided"


def test_the_way_goes_from_noisy_to_clean_from_left_to_right() -> None:
    """The last, largest mask is on the right."""
    grown = trace([0.5] * 6)
    for step in grown.steps:
        step.images[0].mask_area = 0.0
    grown.steps[-1].images[0].mask_area = 0.5
    blue = (plot_trace(grown, 600, 400)[:200].astype(int) @ [-1, 0, 1]) > 80
    rising = np.nonzero(blue[:100].any(0))[0]
    assert rising.min() > 300
