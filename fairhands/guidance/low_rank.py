"""An adapter as branches beside the layers of a network, switched on for some rows of one batch.

MGHanD's textual guidance (arXiv 2503.08133) needs the prediction with a hand LoRA and without it. Instead of merging
the LoRA into the weights and out of them at every step, one batch holds both: row i of a layer's output becomes

    y_i = W x_i + b + s_i * (alpha / rank) * up(down(x_i))

with a strength s_i of its own, 0 being the layer itself.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils.hooks import RemovableHandle

Slice = tuple[int, int]
"""The first output channel and how many, of a layer that holds several merged ones (queries, keys and values)."""

_POINTWISE = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}


@dataclass(frozen=True)
class Branch(ABC):
    """One addition to a layer's output; its tensors are never inference tensors, so a gradient passes through."""

    def __post_init__(self) -> None:
        with torch.inference_mode(False):
            for name, tensor in self._tensors().items():
                normal = tensor.clone() if tensor.is_inference() else tensor.detach()
                object.__setattr__(self, name, normal)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Branch":
        """The same branch with its tensors elsewhere."""
        with torch.inference_mode(False):
            return replace(self, **{name: tensor.to(device, dtype) for name, tensor in self._tensors().items()})

    @abstractmethod
    def fitted(self, layer: nn.Module) -> "Branch":
        """The branch with its tensors in the layer's shapes. Raises ValueError where they do not fit."""

    @abstractmethod
    def __call__(self, layer: Any, x: Tensor, strength: "float | Tensor") -> Tensor:
        """What to add to the output for the layer's input x; strength is one number, or `[len(x)]`."""

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class LowRank(Branch):
    """scale * up(mid(down(x))): a LoRA of a linear layer or a convolution.

    down: `[rank, in]`, or `[rank, in, *kernel]` with the layer's kernel, stride and padding.
    up: `[out, rank]`, a kernel of one pixel allowed.
    scale: alpha / rank.
    mid: Tucker's core `[rank, rank, *kernel]`; down is then pointwise.
    outputs: the output channels that it adds to; None is all.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    mid: Tensor | None = None
    outputs: Slice | None = None

    def fitted(self, layer: nn.Module) -> "LowRank":
        out, inner, *kernel = weight_shape(layer)
        if is_convolution(layer) and layer.groups != 1:
            raise ValueError(f"a low-rank branch needs a convolution in one group, the layer has {layer.groups}")
        ones = [1] * len(kernel)
        rank = len(self.down)
        core = None if self.mid is None else _reshaped("mid", self.mid, [self.mid.shape[0], rank, *kernel])
        return replace(
            self,
            down=_reshaped("down", self.down, [rank, inner, *(kernel if core is None else ones)]),
            up=_reshaped("up", self.up, [_width(self.outputs, out), rank if core is None else len(core), *ones]),
            mid=core,
        )

    def __call__(self, layer: Any, x: Tensor, strength: float | Tensor) -> Tensor:
        if self.mid is None:
            hidden = _like_layer(layer, x, self.down)
        else:
            hidden = _like_layer(layer, _pointwise(layer, x, self.down), self.mid)
        added = _pointwise(layer, _scaled(hidden, self.scale * strength), self.up)
        return _widened(layer, added, self.outputs)


@dataclass(frozen=True)
class WeightDifference(Branch):
    """A difference of the layer's whole weight, for adapters that are not of low rank; of the weight's shape."""

    weight: Tensor

    def fitted(self, layer: nn.Module) -> "WeightDifference":
        return replace(self, weight=_reshaped("weight", self.weight, weight_shape(layer)))

    def __call__(self, layer: Any, x: Tensor, strength: float | Tensor) -> Tensor:
        return _scaled(_like_layer(layer, x, self.weight), strength)


@dataclass(frozen=True)
class BiasDifference(Branch):
    """A difference of the layer's bias, `[out]`."""

    bias: Tensor

    def fitted(self, layer: nn.Module) -> "BiasDifference":
        return replace(self, bias=_reshaped("bias", self.bias, weight_shape(layer)[:1]))

    def __call__(self, layer: Any, x: Tensor, strength: float | Tensor) -> Tensor:
        bias = self.bias.view(1, -1, *[1] * (x.ndim - 2)) if is_convolution(layer) else self.bias
        rows = x.new_ones(len(x), *[1] * (x.ndim - 1))
        return _scaled(rows, strength) * bias


class LowRankBranches:
    """Branches for layers of a network, by module path. Attached and off, the network gives the very same tensors.

    Tensors follow their layer's input to its device and dtype once, and stay there until `detach`.
    """

    def __init__(self, branches: Mapping[str, Sequence[Branch]]):
        self.branches = {path: tuple(several) for path, several in branches.items()}
        self._handles: list[RemovableHandle] = []
        self._fitted: dict[str, list[Branch]] = {}
        self._placed: dict[str, tuple[torch.device, torch.dtype, list[Branch]]] = {}
        self._rows: _Rows | None = None

    @property
    def attached(self) -> bool:
        """Whether hooks are on a network."""
        return bool(self._handles)

    def attach(self, network: nn.Module) -> None:
        """Put a forward hook on each layer, in place of those of an earlier call.

        Raises ValueError for a path that the network does not have, and for a branch that does not fit its layer;
        nothing is attached then.
        """
        self.detach()
        layers = {path: _layer(network, path) for path in self.branches}
        for path, layer in layers.items():
            try:
                self._fitted[path] = [branch.fitted(layer) for branch in self.branches[path]]
            except ValueError as error:
                raise ValueError(f"the branch of {path!r} does not fit: {error}.") from error
        for path, layer in layers.items():
            self._handles.append(layer.register_forward_hook(self._hook(path), with_kwargs=True))

    def detach(self) -> None:
        """Take the hooks off, and let go of what was copied to the layers' device."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._fitted.clear()
        self._placed.clear()

    @contextmanager
    def on(self, rows: Tensor | None) -> Iterator[None]:
        """Inside, row i of a batch gets `rows[i]` times the branches; `rows` is float `[N]`, None is off.

        A layer whose first dimension is k * N holds k consecutive entries for each row. Raises ValueError for rows of
        another shape or dtype, and, from the layer, for any other first dimension.
        """
        before = self._rows
        self._rows = None if rows is None else _Rows(rows)
        try:
            yield
        finally:
            self._rows = before

    def _hook(self, path: str) -> Callable[..., Tensor | None]:
        def add(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor | None:
            if self._rows is None or not self._rows.on:
                return None
            x: Tensor = (*arguments, *named.values())[0]
            index, strength = self._rows.select(path, x)
            part = x[index]
            added = sum(branch(layer, part, strength) for branch in self._at(path, x))
            # A clone keeps the layer's memory format, by which later layers choose how they compute.
            result = output.clone()
            result[index] += added
            return result

        return add

    def _at(self, path: str, x: Tensor) -> list[Branch]:
        """The layer's branches where the input is."""
        placed = self._placed.get(path)
        if placed is None or placed[:2] != (x.device, x.dtype):
            placed = (x.device, x.dtype, [branch.to(x.device, x.dtype) for branch in self._fitted[path]])
            self._placed[path] = placed
        return placed[2]


class _Rows:
    """Strengths of the rows of a batch, and which entries of a layer's input they mean."""

    def __init__(self, rows: Tensor):
        if rows.ndim != 1 or len(rows) == 0 or not rows.is_floating_point():
            raise ValueError(f"rows is {rows.dtype} {list(rows.shape)}, expected one strength for each row: float [N].")
        self.strengths: list[float] = rows.tolist()
        self.on = [row for row, strength in enumerate(self.strengths) if strength]
        self._selected: dict[tuple[Any, ...], tuple[slice | Tensor, float | Tensor]] = {}

    def select(self, path: str, x: Tensor) -> tuple[slice | Tensor, float | Tensor]:
        """Where the rows are that are on, and their strengths: one number where all are the same."""
        times, rest = divmod(len(x), len(self.strengths)) if x.ndim > 1 else (0, 0)
        if rest or not times:
            raise ValueError(
                f"the input of {path!r} is {list(x.shape)}, expected a multiple of the batch's "
                f"{len(self.strengths)} rows in its first dimension."
            )
        key = (times, x.device, x.dtype)
        if key not in self._selected:
            with torch.inference_mode(False):
                self._selected[key] = self._index(times, x.device), self._strength(times, x)
        return self._selected[key]

    def _index(self, times: int, device: torch.device) -> slice | Tensor:
        """A slice, which copies nothing, where the entries are neighbours."""
        if self.on[-1] - self.on[0] == len(self.on) - 1:
            return slice(self.on[0] * times, (self.on[-1] + 1) * times)
        return torch.tensor([row * times + entry for row in self.on for entry in range(times)], device=device)

    def _strength(self, times: int, x: Tensor) -> float | Tensor:
        values = [self.strengths[row] for row in self.on]
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, dtype=x.dtype, device=x.device).repeat_interleave(times)


def is_convolution(layer: nn.Module) -> bool:
    """Whether the layer is a convolution, and not a transposed one."""
    return isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd)


def weight_shape(layer: Any) -> list[int]:
    """Shape of the weight of a linear layer or a convolution. Raises ValueError for another layer."""
    if is_convolution(layer):
        return [layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size]
    # A layer that keeps its weight in a packed form need not be an nn.Linear.
    if hasattr(layer, "in_features") and hasattr(layer, "out_features"):
        return [layer.out_features, layer.in_features]
    raise ValueError(f"{type(layer).__name__} is neither linear nor a convolution")


def _layer(network: nn.Module, path: str) -> nn.Module:
    try:
        return network.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"{type(network).__name__} has no layer {path!r}, for which there is a branch.") from error


def _reshaped(name: str, tensor: Tensor, shape: list[int]) -> Tensor:
    """A weight in the layer's own number of dimensions: a LoRA may hold it flattened, or with a kernel of one pixel."""
    if tensor.ndim == 0 or len(tensor) != shape[0] or tensor.numel() != math.prod(shape):
        raise ValueError(f"{name} is {list(tensor.shape)}, the layer needs {shape}")
    return tensor.reshape(shape)


def _width(outputs: Slice | None, out: int) -> int:
    if outputs is None:
        return out
    first, count = outputs
    if first < 0 or count < 1 or first + count > out:
        raise ValueError(f"outputs is {outputs}, the layer has {out} output channels")
    return count


def _like_layer(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """What the layer does to x with another weight and no bias, its padding included (seamless tiles change it)."""
    return layer._conv_forward(x, weight, None) if is_convolution(layer) else functional.linear(x, weight)


def _pointwise(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    return _POINTWISE[x.ndim](x, weight) if is_convolution(layer) else functional.linear(x, weight)


def _scaled(x: Tensor, strength: float | Tensor) -> Tensor:
    """Each row of x times its strength."""
    return x * (strength.view(-1, *[1] * (x.ndim - 1)) if isinstance(strength, Tensor) else strength)


def _widened(layer: nn.Module, added: Tensor, outputs: Slice | None) -> Tensor:
    """Zeros in the output channels that a slice leaves out."""
    if outputs is None:
        return added
    after = weight_shape(layer)[0] - sum(outputs)
    inside = [0, 0] * (added.ndim - 2) if is_convolution(layer) else []
    return functional.pad(added, [*inside, outputs[0], after])
