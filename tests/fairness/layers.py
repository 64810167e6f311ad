"""A small network with three objectives."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

OBJECTIVES = ("global", "hand", "face")


class Layers(nn.Module):
    """Three layers, of which the last two may be forgotten and computed again; one more that is not used."""

    def __init__(self, checkpointing: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
        self.unused = nn.Linear(2, 2)
        self.checkpointing = checkpointing

    def forward(self, values: Tensor) -> Tensor:
        for layer in self.layers:

            def block(values: Tensor, layer: nn.Module = layer) -> Tensor:
                return layer(values).tanh() + values

            values = checkpoint(block, values, use_reentrant=False) if self.checkpointing else block(values)
        return values


def network(checkpointing: bool = False, kind: torch.dtype = torch.float32) -> Layers:
    torch.manual_seed(0)
    return Layers(checkpointing).to(kind)


def losses(of: nn.Module, inputs: Tensor, present: tuple[bool, ...] = (True, True, True)) -> dict[str, Tensor]:
    """Of the whole, and of parts of it, as regions of a picture are."""
    error = (of(inputs) - inputs.roll(1, dims=1)).square()
    own = [error.mean(), error[:, :2].mean(), 0.1 * error[:, 3:4].mean()]
    return {name: loss if here else torch.zeros(()) for name, loss, here in zip(OBJECTIVES, own, present, strict=True)}


def inputs(count: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
