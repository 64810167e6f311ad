"""Noise is added, predicted and taken away consistently, whatever a network predicts."""

import itertools

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from fairhands.base_models.process import Diffusion, Flow, Process
from fairhands.base_models.shapes import SD15

KEPT = SD15.kept()
PROCESSES = {"noise": Diffusion(KEPT, "noise"), "velocity": Diffusion(KEPT, "velocity"), "flow": Flow(3.0)}
processes = st.sampled_from(list(PROCESSES.values()))


def latents_and_noise(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 5, 6, generator=generator), torch.randn(3, 4, 5, 6, generator=generator)


@given(processes, st.integers(0, 1000), st.lists(st.floats(0.0, 0.95), min_size=3, max_size=3))
def test_the_target_stands_for_the_latents_that_were_noised(process: Process, seed: int, times: list[float]) -> None:
    latents, noise = latents_and_noise(seed)
    at = torch.tensor(times)
    noised, target = process.noised(latents, noise, at), process.target(latents, noise, at)
    # Where only 1% of a latent is left, float32 gives it back to 1e-4.
    assert torch.allclose(process.clean(noised, at, target), latents, atol=1e-4)


@given(processes, st.integers(0, 1000), st.floats(0.1, 0.95), st.floats(0.0, 0.95))
def test_a_step_with_the_right_prediction_stays_on_the_way(process: Process, seed: int, time: float, to: float) -> None:
    latents, noise = latents_and_noise(seed)
    at, after = torch.full((3,), time), torch.full((3,), to)
    noised, target = process.noised(latents, noise, at), process.target(latents, noise, at)
    assert torch.allclose(process.step(noised, at, target, after), process.noised(latents, noise, after), atol=1e-3)
    assert torch.allclose(process.step(noised, at, target, None), latents, atol=1e-4)


@pytest.mark.parametrize(("predicts", "name"), [("noise", "epsilon"), ("velocity", "v_prediction")])
def test_diffusion_is_that_of_diffusers(predicts, name: str) -> None:
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=name,
        timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True,
    )  # fmt: skip
    scheduler.set_timesteps(7)
    process = Diffusion(KEPT, predicts)
    times = process.times(7)
    assert [round(time * 1000) for time in times] == scheduler.timesteps.tolist()
    latents, noise = latents_and_noise(0)
    at = torch.full((3,), times[2])
    timestep = scheduler.timesteps[2]
    assert torch.allclose(process.noised(latents, noise, at), scheduler.add_noise(latents, noise, timestep), atol=1e-6)
    if predicts == "velocity":
        wanted = scheduler.get_velocity(latents, noise, timestep.repeat(3))
        assert torch.allclose(process.target(latents, noise, at), wanted, atol=1e-6)
    # The scheduler steps by whole thousandths, 1000 // 7, so only steps of equal spacing compare.
    scheduler.set_timesteps(10)
    times = process.times(10)
    for number, after in ((4, torch.full((3,), times[5])), (9, None)):
        at = torch.full((3,), times[number])
        wanted = scheduler.step(noise, scheduler.timesteps[number], latents).prev_sample
        assert torch.allclose(process.step(latents, at, noise, after), wanted, atol=1e-4)


def test_sampling_begins_in_noise_and_goes_down() -> None:
    for process in PROCESSES.values():
        for steps in (1, 2, 13, 50):
            times = process.times(steps)
            assert len(times) == steps
            assert times[0] >= 0.999
            assert all(time > after >= 0 for time, after in itertools.pairwise(times))


def test_a_schedule_that_ends_in_pure_noise_is_for_velocities_only() -> None:
    kept = SD15.scheduled(rescale_betas_zero_snr=True).kept()
    assert kept[-1] == 0
    with pytest.raises(ValueError, match="velocity"):
        Diffusion(kept, "noise")
    process = Diffusion(kept, "velocity")
    latents, noise = latents_and_noise(0)
    last = torch.full((3,), 0.999)
    assert torch.allclose(process.noised(latents, noise, last), noise)
    assert torch.allclose(process.clean(noise, last, process.target(latents, noise, last)), latents)
