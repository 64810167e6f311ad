"""What can be chosen about the training of an adapter, whatever its kind."""

from collections.abc import Sequence

from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from ..training.loop import LoopSettings
from ..training.optimisers import Optimiser, new_optimiser


class AdapterTraining(LoopSettings):
    """The training itself."""

    optimiser: Optimiser = Field(
        default="adamw", description="adamw; adamw8bit (needs bitsandbytes); prodigy (needs prodigyopt)."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="The optimiser's decay of the weights.")
    checkpointing: bool = Field(
        default=False, description="Whether the base's blocks are computed again for the gradient: less memory, slower."
    )

    def new_optimiser(self, weights: Sequence[nn.Parameter]) -> Optimizer:
        """The optimiser of what is trained, for `Loop(optimiser=...)`."""
        return new_optimiser(self.optimiser, weights, self.learning_rate, weight_decay=self.weight_decay)
