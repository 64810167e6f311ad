"""A critic's weights: given to its parts if they are their own, and told from others by a hash."""

import hashlib
from collections.abc import Mapping

from torch import Tensor, nn


def fill(part: nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Give a part of a critic its weights; in float32 they become its tensors.

    Args:
        part: a module, also one on the meta device.
        weights: by the part's own names.
        prefix: what stands before those names in a critic's file, for messages.

    Raises:
        ValueError: a tensor is missing, unknown, of another shape or not finite; its text goes on after
            "a hand discriminator".
    """
    wanted = part.state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        if name not in weights:
            raise ValueError(f"without the tensor {prefix}{name}")
        if name not in wanted:
            raise ValueError(f"with the unexpected tensor {prefix}{name}")
        expected, found = list(wanted[name].shape), list(weights[name].shape)
        if found != expected:
            raise ValueError(f"whose tensor {prefix}{name} is {found} and not {expected}")
    check_finite(weights, prefix)
    part.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)


def check_finite(weights: Mapping[str, Tensor], prefix: str) -> None:
    """Raise ValueError for the first tensor with a value that is not finite; names and text as for `fill`."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(f"whose tensor {prefix}{name} has values that are not finite")


def digest(weights: Mapping[str, Tensor]) -> str:
    """The sha256 of weights in half precision, with their names and shapes; whatever the file or the order."""
    whole = hashlib.sha256()
    for name in sorted(weights):
        half = weights[name].detach().cpu().half().contiguous()
        whole.update(f"{name} {list(half.shape)}\n".encode())
        whole.update(half.numpy().tobytes())
    return whole.hexdigest()
