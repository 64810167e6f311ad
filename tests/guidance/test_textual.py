import pytest
import torch

from fairhands.guidance.schedule import Moment, Schedule, Window
from fairhands.guidance.textual import TextualSettings, textual_step
from fairhands.guidance.trace import ImageRecord

MASK = torch.tensor([[1.0, 0.5], [0.0, 0.0]])


def test_the_step_is_v_times_the_mask_times_the_difference() -> None:
    difference = torch.randn(3, 2, 2)
    step = textual_step(difference, MASK, 1.5, ImageRecord())
    assert torch.allclose(step, 1.5 * MASK * difference)
    assert (step[:, 1] == 0).all()


def test_the_record_holds_the_differences_own_size_over_the_mask() -> None:
    difference = torch.full((3, 2, 2), -0.25)
    difference[:, 1] = 99
    record = ImageRecord()
    textual_step(difference, MASK, 4.0, record)
    assert record.difference_rms == pytest.approx(0.25)
    assert record.guided


def test_over_an_empty_mask_nothing_is_added_and_the_image_counts_as_unguided() -> None:
    record = ImageRecord()
    assert (textual_step(torch.ones(3, 2, 2), torch.zeros(2, 2), 4.0, record) == 0).all()
    assert record.difference_rms == 0.0
    assert not record.guided


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_difference_that_is_no_number_adds_nothing_and_leaves_a_note(bad: float) -> None:
    difference = torch.ones(3, 2, 2)
    difference[0, 1, 1] = bad
    record = ImageRecord()
    assert (textual_step(difference, MASK, 1.0, record) == 0).all()
    assert record.note == "the hand LoRA's difference is not finite"
    assert not record.guided


def test_strength_is_v_times_the_schedule_which_is_constant_by_default() -> None:
    moment = Moment(1.0, 400.0, 0.7)
    assert TextualSettings(2.0).strength(moment) == 2.0
    assert TextualSettings(2.0, Schedule(Window(), "noise")).strength(moment) == pytest.approx(1.4)


def test_what_it_applies_to_is_checked() -> None:
    with pytest.raises(ValueError, match="applies_to is 'uncond', expected one of cond, both"):
        TextualSettings(1.0, applies_to="uncond")  # type: ignore[arg-type]
