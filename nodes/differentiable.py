"""Make what ComfyUI loaded fit for gradients."""

from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode


def make_differentiable(module: nn.Module) -> None:
    """Put normal tensors in place of the module's inference tensors, once, so that a gradient can pass through it.

    ComfyUI's nodes load weights under `torch.inference_mode`, and autograd refuses such tensors. The new tensors share
    the old ones' memory: nothing is copied, and what ComfyUI knows of a weight's place, such as pinned memory, stays
    true.
    """
    with torch.inference_mode(False):
        for part in module.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                if parameter.is_inference():
                    part.register_parameter(name, nn.Parameter(normal(parameter), requires_grad=False))
            for name, buffer in list(part.named_buffers(recurse=False)):
                if buffer.is_inference():
                    persistent = name not in part._non_persistent_buffers_set
                    part.register_buffer(name, normal(buffer), persistent)


def normal(tensor: Tensor) -> Tensor:
    """An inference tensor's values as a tensor that autograd may save: the same memory, or a copy where it has none."""
    with torch.inference_mode(False):
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
            return tensor.detach().clone()
        empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        return empty.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())


def make_conditions_differentiable(conditions: dict[str, list[dict[str, Any]]]) -> None:
    """Put normal tensors in place of inference tensors in a guider's processed conditions and their ControlNets."""
    for entry in (entry for entries in conditions.values() for entry in entries):
        for condition in entry.get("model_conds", {}).values():
            if isinstance(condition.cond, list):
                condition.cond = [_normal_where_needed(value) for value in condition.cond]
            else:
                condition.cond = _normal_where_needed(condition.cond)
        for control in _control_nets(entry.get("control")):
            if isinstance(getattr(control, "control_model", None), nn.Module):
                make_differentiable(control.control_model)


def _control_nets(control: Any) -> Iterable[Any]:
    """A ControlNet and those that it follows."""
    while control is not None:
        yield control
        control = control.previous_controlnet


def _normal_where_needed(value: Any) -> Any:
    return normal(value) if isinstance(value, Tensor) and value.is_inference() else value


@contextmanager
def in_place_operations_allowed():
    """Inside, tensors that autograd saved may be overwritten: they are copied just before that.

    ComfyUI's networks are written for inference: Flux adds to its residual stream in place, although layers before
    saved it. For the forward pass alone; what it saved is used after it too.
    """
    saved = _SavedTensors()
    with saved_tensors_hooks(saved.keep, lambda kept: kept.tensor), _CopyBeforeOverwriting(saved):
        yield


class _Kept:
    """A tensor that autograd saved; without its own history, which would keep itself alive."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor.detach()


class _SavedTensors:
    """What autograd saved, by the address of its memory; forgotten with the graph that it is for."""

    def __init__(self) -> None:
        self._by_address: dict[int, WeakSet[_Kept]] = {}

    def keep(self, tensor: Tensor) -> _Kept:
        kept = _Kept(tensor)
        self._by_address.setdefault(_address(tensor), WeakSet()).add(kept)
        return kept

    def copy_those_of(self, tensor: Tensor) -> None:
        for kept in self._by_address.pop(_address(tensor), ()):
            kept.tensor = kept.tensor.clone()


class _CopyBeforeOverwriting(TorchDispatchMode):
    """Sees each operation, and copies what was saved of the tensors that it writes into."""

    def __init__(self, saved: _SavedTensors):
        super().__init__()
        self._saved = saved

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func._schema.is_mutable:
            for number, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    value = args[number] if number < len(args) else named.get(argument.name)
                    for tensor in value if isinstance(value, (list, tuple)) else (value,):
                        if isinstance(tensor, Tensor):
                            self._saved.copy_those_of(tensor)
        return func(*args, **named)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
