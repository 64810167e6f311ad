import math

import pytest

from fairhands.guidance.schedule import Curve, Moment, Schedule, Window

# Ends of the paper's window in SD 1.5's schedule.
FIRST = Moment(sigma=2.746, timestep=650.0, noise_share=0.94)
LAST = Moment(sigma=0.456, timestep=150.0, noise_share=0.415)


@pytest.mark.parametrize(("timestep", "acts"), [(999, False), (650, True), (400, True), (150, True), (149.9, False)])
def test_guidance_acts_inside_the_papers_window_with_both_ends(timestep: float, acts: bool) -> None:
    assert Window().contains(timestep) is acts


def test_an_exchanged_window_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="first timestep is 150 and last timestep is 650"):
        Window(150, 650)


@pytest.mark.parametrize(
    ("curve", "first", "last"),
    [("noise", 0.94, 0.415), ("constant", 1.0, 1.0), ("sigma2", 2.746**2, 0.456**2), ("cosine", 1.0, 0.0)],
)
def test_a_curve_has_its_values_at_both_ends(curve: Curve, first: float, last: float) -> None:
    schedule = Schedule(curve=curve)
    assert schedule.at(FIRST) == pytest.approx(first)
    assert schedule.at(LAST) == pytest.approx(last, abs=1e-12)


def test_the_cosine_is_half_in_the_middle_and_falls_with_the_windows_own_ends() -> None:
    schedule = Schedule(Window(900, 100), "cosine")
    values = [schedule.at(Moment(1.0, timestep, 0.5)) for timestep in (900, 700, 500, 300, 100)]
    assert values == pytest.approx([1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0])


def test_a_window_of_one_timestep_has_a_cosine_too() -> None:
    assert Schedule(Window(400, 400), "cosine").at(Moment(1.0, 400, 0.5)) == 1.0


def test_sigma2_of_a_flow_model_is_the_variance_in_units_of_the_signals() -> None:
    moment = Moment(sigma=0.75, timestep=750, noise_share=0.75, signal=0.25)
    assert moment.noise_to_signal == pytest.approx(3.0)
    assert Schedule(curve="sigma2").at(moment) == pytest.approx(9.0)


def test_pure_noise_of_a_flow_model_has_a_finite_step() -> None:
    assert math.isfinite(Schedule(curve="sigma2").at(Moment(1.0, 1000, 1.0, signal=0.0)))


def test_an_unknown_curve_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="schedule is 'linear', expected one of noise, constant, sigma2, cosine"):
        Schedule(curve="linear")


def test_no_step_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="every is 0, expected 1 or more"):
        Schedule(every=0)
