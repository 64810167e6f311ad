from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairhands.guidance.recurrence import Renoise, recurrent, renoise_flow, renoise_variance_exploding

MEAN, SPREAD = 1.5, 0.7
SAMPLES = 40_000
SEED = 11


class GaussianDenoiser:
    """The perfect denoiser E[d | x] of data N(MEAN, SPREAD^2), x = a d + sigma n; keeps the sigmas it was asked for."""

    def __init__(self, flow: bool = False):
        self.flow = flow
        self.asked: list[float] = []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        self.asked.append(round(float(sigma[0]), 4))
        sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
        a = 1 - sigma if self.flow else torch.ones_like(sigma)
        return MEAN + a * SPREAD**2 / (a**2 * SPREAD**2 + sigma**2) * (x - a * MEAN)


def euler(model: Any, x: Any, sigmas: Any, extra_args: Any = None, callback: Any = None, disable: Any = None) -> Any:
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i].expand(len(x)), **(extra_args or {}))
        if callback:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
    return x


class AdamsBashforth:
    """Second order from the last two derivatives; keeps the lengths of the schedules that it was called with."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, model: Any, x: Any, sigmas: Any, extra_args: Any = None, callback: Any = None, **_: Any) -> Any:
        self.calls.append(len(sigmas))
        last = None
        for i in range(len(sigmas) - 1):
            step = sigmas[i + 1] - sigmas[i]
            slope = (x - model(x, sigmas[i].expand(len(x)), **(extra_args or {}))) / sigmas[i]
            bend = 0.0 if last is None else (slope - last) / (sigmas[i] - sigmas[i - 1])
            x, last = x + step * slope + step**2 / 2 * bend, slope
        return x


def ancestral(
    model: Any,
    x: Any,
    sigmas: Any,
    extra_args: Any = None,
    callback: Any = None,
    disable: Any = None,
    noise_sampler: Any = None,
) -> Any:
    generator = torch.Generator().manual_seed((extra_args or {})["seed"])
    noise_sampler = noise_sampler or (lambda sigma, sigma_next: torch.randn(x.shape, generator=generator))
    for i in range(len(sigmas) - 1):
        sigma, end = sigmas[i], sigmas[i + 1]
        up = (end**2 * (sigma**2 - end**2) / sigma**2) ** 0.5
        denoised = model(x, sigma.expand(len(x)), **(extra_args or {}))
        x = x + (x - denoised) / sigma * ((end**2 - up**2) ** 0.5 - sigma)
        if end > 0:
            x = x + up * noise_sampler(sigma, end)
    return x


def fine_schedule(flow: bool = False, steps: int = 200) -> torch.Tensor:
    levels = torch.linspace(1, 0, steps + 1) if flow else torch.logspace(1.5, -1.5, steps).tolist()
    return torch.as_tensor([*levels] if flow else [*levels, 0.0])


def start(flow: bool = False, size: int = SAMPLES) -> torch.Tensor:
    noise = torch.randn(size, 1, generator=torch.Generator().manual_seed(SEED))
    data = MEAN + SPREAD * torch.randn(size, 1, generator=torch.Generator().manual_seed(SEED + 1))
    return noise if flow else data + fine_schedule()[0] * noise


def middle(sigma: float) -> bool:
    return 0.3 <= sigma <= 0.8


def test_one_repeat_is_the_very_same_function() -> None:
    assert recurrent(euler, 1, middle, renoise_flow) is euler


@pytest.mark.parametrize("repeats", [0, -2])
def test_fewer_than_one_repeat_is_refused(repeats: int) -> None:
    with pytest.raises(ValueError, match=f"repeats is {repeats}, expected 1 or more"):
        recurrent(euler, repeats, middle, renoise_flow)


@pytest.mark.parametrize("window", [middle, lambda sigma: True], ids=["middle", "all"])
@pytest.mark.parametrize(
    ("sampler", "renoise"),
    [
        (euler, renoise_variance_exploding),
        (euler, renoise_flow),
        (AdamsBashforth(), renoise_variance_exploding),
        (AdamsBashforth(), renoise_flow),
        (ancestral, renoise_variance_exploding),
    ],
)
def test_with_a_perfect_denoiser_repeats_leave_the_distribution(
    sampler: Any, renoise: Renoise, window: Callable[[float], bool]
) -> None:
    flow = renoise is renoise_flow
    model = GaussianDenoiser(flow)
    sample = recurrent(sampler, 3, window, renoise)
    found = sample(model, start(flow), fine_schedule(flow), extra_args={"seed": SEED})
    assert len(model.asked) > 220
    # Four standard errors, and what 200 steps of first order are off.
    assert found.mean() == pytest.approx(MEAN, abs=0.015)
    assert found.std() == pytest.approx(SPREAD, abs=0.025)


@given(st.floats(0.01, 50.0), st.floats(0.0, 0.999))
def test_renoised_data_has_exactly_the_noise_of_its_level_variance_exploding(sigma: float, ratio: float) -> None:
    data, old, new = shares(renoise_variance_exploding, sigma, ratio * sigma, 1.0)
    assert data == 1.0
    assert old**2 + new**2 == pytest.approx(sigma**2)


@given(st.floats(0.01, 1.0), st.floats(0.0, 0.999))
def test_renoised_data_has_exactly_the_noise_of_its_level_flow(t: float, ratio: float) -> None:
    data, old, new = shares(renoise_flow, t, ratio * t, 1.0 - ratio * t)
    assert data == pytest.approx(1 - t, abs=1e-12)
    assert old**2 + new**2 == pytest.approx(t**2)


def shares(renoise: Renoise, sigma: float, sigma_next: float, data_share: float) -> tuple[float, float, float]:
    """How much of data, old noise and new noise the renoised x holds; it is linear in the three."""
    x_next = torch.tensor([data_share, sigma_next, 0.0], dtype=torch.float64)
    new = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    data, old, drawn = renoise(x_next, sigma, sigma_next, new).tolist()
    return data, old, drawn


def test_from_the_finished_picture_all_noise_is_new() -> None:
    assert shares(renoise_variance_exploding, 0.7, 0.0, 1.0) == (1.0, 0.0, 0.7)
    assert shares(renoise_flow, 0.25, 0.0, 1.0) == (0.75, 0.0, 0.25)


def test_at_a_flow_models_first_step_nothing_of_the_data_is_left() -> None:
    assert shares(renoise_flow, 1.0, 0.9, 0.1) == (0.0, 0.0, 1.0)


def test_guided_steps_run_repeats_times_and_the_others_once() -> None:
    model = GaussianDenoiser()
    sigmas = torch.tensor([5.0, 2.0, 0.7, 0.4, 0.1, 0.0])
    recurrent(euler, 3, middle, renoise_variance_exploding)(model, start(size=8), sigmas, extra_args={"seed": SEED})
    assert model.asked == [5.0, 2.0, 0.7, 0.7, 0.7, 0.4, 0.4, 0.4, 0.1]


def test_a_guided_last_step_is_repeated_from_the_finished_picture() -> None:
    model = GaussianDenoiser()
    sample = recurrent(euler, 2, lambda sigma: sigma < 1, renoise_variance_exploding)
    found = sample(model, start(size=8), torch.tensor([5.0, 0.5, 0.0]), extra_args={"seed": SEED})
    assert model.asked == [5.0, 0.5, 0.5]
    assert torch.isfinite(found).all()


def test_a_step_that_does_not_lower_sigma_is_not_repeated() -> None:
    model = GaussianDenoiser()
    sample = recurrent(euler, 2, middle, renoise_variance_exploding)
    sample(model, start(size=8), torch.tensor([0.4, 0.6, 0.6, 0.3]), extra_args={"seed": SEED})
    assert model.asked == [0.4, 0.6, 0.6, 0.6]


def test_a_run_of_unguided_steps_is_one_call_so_that_history_is_kept() -> None:
    sampler = AdamsBashforth()
    sigmas = torch.tensor([5.0, 3.0, 2.0, 0.7, 0.4, 0.1, 0.05, 0.0])
    recurrent(sampler, 2, middle, renoise_variance_exploding)(GaussianDenoiser(), start(size=8), sigmas)
    assert sampler.calls == [4, 2, 2, 2, 2, 3]


def test_without_a_guided_step_the_result_is_the_samplers_own_bit_for_bit() -> None:
    sample = recurrent(ancestral, 4, lambda sigma: False, renoise_variance_exploding)
    runs = [
        function(GaussianDenoiser(), start(size=8), fine_schedule(steps=10), extra_args={"seed": SEED})
        for function in (ancestral, sample)
    ]
    assert torch.equal(*runs)


def test_the_callback_counts_the_whole_schedules_steps_once_each() -> None:
    told: list[dict[str, Any]] = []
    sigmas = torch.tensor([5.0, 2.0, 0.7, 0.4, 0.1, 0.0])
    sample = recurrent(euler, 3, middle, renoise_variance_exploding)
    sample(GaussianDenoiser(), start(size=8), sigmas, extra_args={"seed": SEED}, callback=told.append)
    assert [info["i"] for info in told] == [0, 1, 2, 3, 4]
    assert [float(info["sigma"]) for info in told] == sigmas[:-1].tolist()
    assert set(told[0]) == {"x", "i", "sigma", "sigma_hat", "denoised"}


def test_the_callback_shows_the_last_repeat() -> None:
    seen: list[torch.Tensor] = []
    told: list[torch.Tensor] = []

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    sample = recurrent(euler, 3, lambda sigma: True, renoise_variance_exploding)
    sample(model, start(size=8), torch.tensor([2.0, 1.0]), callback=lambda info: told.append(info["x"]))
    assert len(seen) == 3
    assert torch.equal(told[0], seen[2])
    assert not torch.equal(seen[1], seen[2])


def drawn_noises(options: dict[str, Any], seed: int = SEED) -> list[torch.Tensor]:
    """Every noise of a run: those of the sampler's own steps, and those of the repeats."""
    noises: list[torch.Tensor] = []

    def renoise(x_next: torch.Tensor, sigma: float, sigma_next: float, noise: torch.Tensor) -> torch.Tensor:
        noises.append(noise)
        return renoise_variance_exploding(x_next, sigma, sigma_next, noise)

    def sampler(*arguments: Any, noise_sampler: Any = None, **keywords: Any) -> torch.Tensor:
        def keep(sigma: Any, sigma_next: Any) -> torch.Tensor:
            noises.append(noise_sampler(sigma, sigma_next))
            return noises[-1]

        return ancestral(*arguments, noise_sampler=keep, **keywords)

    sample = recurrent(sampler, 3, middle, renoise)
    sample(GaussianDenoiser(), start(size=50), fine_schedule(steps=30), extra_args={"seed": seed}, **options)
    return noises


def test_no_noise_is_drawn_twice_nor_is_it_the_starting_noise() -> None:
    noises = drawn_noises({})
    starting = torch.randn(50, 1, generator=torch.Generator().manual_seed(SEED))
    assert len(noises) > 30
    assert len({tuple(noise.flatten().tolist()) for noise in [starting, *noises]}) == len(noises) + 1
    assert torch.stack(noises).std() == pytest.approx(1.0, abs=0.06)


def test_the_seed_decides_the_noise() -> None:
    first, again, other = (torch.stack(drawn_noises({}, seed)) for seed in (SEED, SEED, SEED + 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("seed", [0, 2**64 - 1, None])
def test_any_seed_of_the_page_works_and_none_too(seed: int | None) -> None:
    sample = recurrent(euler, 2, middle, renoise_variance_exploding)
    sample(GaussianDenoiser(), start(size=8), fine_schedule(steps=5), extra_args={"seed": seed})


def test_the_callers_own_noise_sampler_is_kept() -> None:
    mine = torch.full((50, 1), 0.5)
    noises = drawn_noises({"noise_sampler": lambda sigma, sigma_next: mine})
    assert sum(noise is mine for noise in noises) > 20


def test_noise_to_a_midpoint_and_on_is_of_one_path() -> None:
    """An SDE sampler asks for the noise to the middle of a step, then for that of the whole step."""
    asked: list[torch.Tensor] = []

    def midpoint(model: Any, x: Any, sigmas: Any, noise_sampler: Any = None, **_: Any) -> Any:
        sigma, end = sigmas[0], sigmas[1]
        asked.extend(noise_sampler(sigma, to) for to in ((sigma + end) / 2, end))
        return x

    sigmas = torch.tensor([0.7, 0.5])
    recurrent(midpoint, 2, middle, renoise_variance_exploding)(None, torch.zeros(SAMPLES), sigmas)
    correlations = torch.corrcoef(torch.stack(asked))
    half = 0.5**0.5
    expected = torch.tensor([[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 1, half], [0, 0, half, 1]])
    assert torch.allclose(correlations, expected, atol=0.025)
    assert torch.stack(asked).std(1) == pytest.approx([1.0] * 4, abs=0.02)


def test_a_sampler_that_writes_into_its_schedule_or_arguments_does_no_harm() -> None:
    def careless(model: Any, x: Any, sigmas: Any, extra_args: Any = None, **_: Any) -> Any:
        extra_args["seed"] = None
        sigmas[-1] = 0.001
        return x

    sigmas, arguments = torch.tensor([0.7, 0.4, 0.2, 0.0]), {"seed": SEED}
    recurrent(careless, 2, middle, renoise_variance_exploding)(None, start(size=8), sigmas, extra_args=arguments)
    assert sigmas.tolist() == torch.tensor([0.7, 0.4, 0.2, 0.0]).tolist()
    assert arguments == {"seed": SEED}
