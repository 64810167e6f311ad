"""A sampling run without guidance before the guided one, for a background that stays."""

from typing import Any

import comfy.samplers
import torch

from .guidance_run import Run


class BackgroundSampler(comfy.samplers.Sampler):
    """Samples twice: first without guidance, whose estimates the run keeps, then with it.

    Args:
        plain: the sampler as it was chosen.
        guided: the same as guidance changed it.
        run: of this sampling.
    """

    def __init__(self, plain: comfy.samplers.Sampler, guided: comfy.samplers.Sampler, run: Run) -> None:
        self.plain = plain
        self.guided = guided
        self.run = run

    def sample(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        model_wrap: Any,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: torch.Tensor,
        *rest: Any,
        **named: Any,
    ) -> torch.Tensor:
        """What ComfyUI's samplers do, and take; progress and previews are of the second run."""
        arguments: dict[str, Any] = {**extra_args, "model_options": extra_args["model_options"].copy()}
        with self.run.without_guidance():
            # Copies, since some of ComfyUI's samplers write into both.
            self.plain.sample(model_wrap, sigmas.clone(), arguments, None, noise.clone(), *rest, **named)  # pyright: ignore
        return self.guided.sample(model_wrap, sigmas, extra_args, callback, noise, *rest, **named)  # pyright: ignore

    def max_denoise(self, model_wrap: Any, sigmas: torch.Tensor) -> bool:
        """Whether sampling starts from pure noise."""
        return self.guided.max_denoise(model_wrap, sigmas)
