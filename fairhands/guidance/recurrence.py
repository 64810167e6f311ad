"""Recurrence of Universal Guidance (arXiv 2302.07121, algorithm 1): sample z_{t-1}, noise it back to z_t, repeat.

Repeating a guided step lets the picture follow the guidance without leaving the images that the model knows. It works
around any sampler of k-diffusion's kind, a function of `(model, x, sigmas)`.
"""

import inspect
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any

import torch

# (model, x, sigmas, extra_args=None, callback=None, disable=None, **options) -> x
SamplerFunction = Callable[..., torch.Tensor]
# (x_next, sigma, sigma_next, noise) -> x: from the noise level sigma_next back to sigma > sigma_next.
Renoise = Callable[[torch.Tensor, float, float, torch.Tensor], torch.Tensor]
NoiseSampler = Callable[[Any, Any], torch.Tensor]

# ComfyUI draws the starting noise from the very same kind of generator; its plain seed would repeat that noise.
SEED_CHANGE = 0x5DEECE66D


def renoise_variance_exploding(
    x_next: torch.Tensor, sigma: float, sigma_next: float, noise: torch.Tensor
) -> torch.Tensor:
    """Noise x_next = d + sigma_next n' back to d + sigma n, for 0 <= sigma_next < sigma.

        x = x_next + sqrt(sigma^2 - sigma_next^2) n

    Independent noises add their variances: sigma_next^2 + (sigma^2 - sigma_next^2) = sigma^2. This is the paper's
    z_t = sqrt(abar_t / abar_{t-1}) z_{t-1} + sqrt(1 - abar_t / abar_{t-1}) n in terms of x = z / sqrt(abar).
    Tensors of any shape, `noise` of unit variance.
    """
    return x_next + (sigma**2 - sigma_next**2) ** 0.5 * noise


def renoise_flow(x_next: torch.Tensor, sigma: float, sigma_next: float, noise: torch.Tensor) -> torch.Tensor:
    """Noise a flow model's x_next = (1 - s) d + s n' at s = sigma_next back to (1 - t) d + t n at t = sigma.

        x = a x_next + sqrt(t^2 - a^2 s^2) n,    a = (1 - t) / (1 - s)

    a brings the share of d from 1 - s to 1 - t and the old noise's variance to a^2 s^2; the new noise adds the rest.
    That rest is positive for 0 <= s < t <= 1, where t / (1 - t) grows with t. Both ends are regular: s = 0, the last
    step, gives (1 - t) x_next + t n, and t = 1 gives a = 0, pure noise.
    """
    kept = (1 - sigma) / (1 - sigma_next)
    return kept * x_next + max(sigma**2 - (kept * sigma_next) ** 2, 0.0) ** 0.5 * noise


def recurrent(
    sampler: SamplerFunction, repeats: int, guided: Callable[[float], bool], renoise: Renoise
) -> SamplerFunction:
    """The sampler with each guided step done `repeats` times; with 1 the very same function.

    `guided`: whether the step that starts at that sigma is guided. Those steps run one by one, so a multi-step sampler
    takes them at first order; each longest run of other steps is one call, in which it keeps its history. A step that
    does not lower sigma is never repeated. Where no step is guided, the sampler is called as it is.
    A sampler that takes a `noise_sampler` and was given none gets one that goes on over all calls, of the generator
    that also draws the noise of the repeats; `extra_args["seed"]` seeds it. `callback` is called once for each step,
    by its last repeat, with `i` counted over the whole schedule.
    Raises ValueError where `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, expected 1 or more: 1 does each step once.")
    if repeats == 1:
        return sampler

    @torch.no_grad()
    def sample(
        model: Any,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        disable: bool | None = None,
        **options: Any,
    ) -> torch.Tensor:
        levels = sigmas.tolist()
        parts = list(_parts(levels, guided))
        if not any(repeated for _, _, repeated in parts):
            return sampler(model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable, **options)
        extra_args = extra_args or {}
        draw = _noise_source(x, extra_args.get("seed"))
        if options.get("noise_sampler") is None and "noise_sampler" in inspect.signature(sampler).parameters:
            options["noise_sampler"] = _noise_path(draw)

        def run(x: torch.Tensor, first: int, end: int, last_repeat: bool) -> torch.Tensor:
            """One call of the sampler, from sigmas[first] to sigmas[end]."""
            report = _shifted(callback, first) if callback and last_repeat else None
            # A copy each: some of ComfyUI's samplers write into both.
            part, arguments = sigmas[first : end + 1].clone(), dict(extra_args)
            return sampler(model, x, part, extra_args=arguments, callback=report, disable=True, **options)

        for first, end, repeated in parts:
            for _ in range(repeats - 1 if repeated else 0):
                x = renoise(run(x, first, end, last_repeat=False), levels[first], levels[end], draw())
            x = run(x, first, end, last_repeat=True)
        return x

    return sample


def _parts(sigmas: list[float], guided: Callable[[float], bool]) -> Iterator[tuple[int, int, bool]]:
    """The schedule cut into (first, end, repeated), indices of sigmas: each repeated step alone, the others joined."""
    repeated = [guided(sigma) and following < sigma for sigma, following in pairwise(sigmas)]
    for key, group in groupby(range(len(repeated)), key=repeated.__getitem__):
        steps = list(group)
        if key:
            yield from ((step, step + 1, True) for step in steps)
        else:
            yield steps[0], steps[-1] + 1, False


def _noise_source(x: torch.Tensor, seed: int | None) -> Callable[[], torch.Tensor]:
    """Draws noise like x, new at each call: on the CPU, so that the same seed gives the same noise on any device."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed ^ SEED_CHANGE)
    return lambda: torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)


def _noise_path(draw: Callable[[], torch.Tensor]) -> NoiseSampler:
    """Noise of unit variance for steps from sigma to sigma_next, new in each call.

    A call that goes further from where the last one started goes on from its noise, as the increments of a Brownian
    motion do: W(s -> t) = W(s -> m) + W(m -> t). SDE samplers with a midpoint count on that.
    """
    last: tuple[float, float, torch.Tensor] | None = None

    def sample(sigma: Any, sigma_next: Any) -> torch.Tensor:
        nonlocal last
        start, end, noise = float(sigma), float(sigma_next), draw()
        if last is not None and start == last[0] and end < last[1]:
            _, middle, known = last
            share = (start - middle) / (start - end)
            noise = share**0.5 * known + (1 - share) ** 0.5 * noise
        last = start, end, noise
        return noise

    return sample


def _shifted(callback: Callable[[dict[str, Any]], None], first: int) -> Callable[[dict[str, Any]], None]:
    """The callback for a part of the schedule that starts at step `first`."""
    return lambda info: callback({**info, "i": info["i"] + first})
