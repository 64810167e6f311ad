"""Make what ComfyUI loaded fit for gradients."""

from typing import Any

import torch
from torch import nn


def make_differentiable(module: nn.Module) -> None:
    """Put normal tensors in place of the module's inference tensors, once, so that a gradient can pass through it.

    ComfyUI's nodes load weights under `torch.inference_mode`, and autograd refuses such tensors. Values, devices and
    dtypes stay; the replaced tensors are freed one by one, so there is never a second copy of the module.
    """
    with torch.inference_mode(False):
        for part in module.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                if parameter.is_inference():
                    part.register_parameter(name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
            for name, buffer in list(part.named_buffers(recurse=False)):
                if buffer.is_inference():
                    part.register_buffer(name, buffer.clone())


def normal_conditions(conditions: dict[str, list[dict[str, Any]]]) -> None:
    """Put normal tensors in place of inference tensors in a guider's processed conditions, which autograd may save."""
    with torch.inference_mode(False):
        for entries in conditions.values():
            for entry in entries:
                for condition in entry.get("model_conds", {}).values():
                    if isinstance(condition.cond, torch.Tensor) and condition.cond.is_inference():
                        condition.cond = condition.cond.clone()
