"""From clean estimates to pictures, by the model's own decoder or a tiny one."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Decoder:
    """A differentiable decoder.

    `decode`: latents `[N, C, h, w]` as the sampler sees them -> pictures `[N, 3, H, W]`, float32, 0..1.
    `scale`: pixels of a latent cell's side. `name`: for the trace.
    """

    decode: Callable[[Tensor], Tensor]
    scale: int
    name: str

    def __call__(self, latents: Tensor) -> Tensor:
        """The pictures of latents."""
        return self.decode(latents)
