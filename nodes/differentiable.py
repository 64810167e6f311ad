"""Make what ComfyUI loaded fit for gradients."""

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
