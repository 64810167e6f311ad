import pytest

from fairhands.guidance.schedule import UNIT_STEP, Window, step_size


@pytest.mark.parametrize(("timestep", "acts"), [(999, False), (650, True), (400, True), (150, True), (149.9, False)])
def test_guidance_acts_inside_the_papers_window_with_both_ends(timestep: float, acts: bool) -> None:
    assert Window().contains(timestep) is acts


def test_an_exchanged_window_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="first timestep is 150 and last timestep is 650"):
        Window(150, 650)


def test_the_step_grows_with_w_and_with_the_noise() -> None:
    assert step_size(2.0, 0.5) == pytest.approx(UNIT_STEP)
    assert step_size(0.0, 0.5) == 0.0
    assert step_size(1.0, 0.9) > step_size(1.0, 0.4)
