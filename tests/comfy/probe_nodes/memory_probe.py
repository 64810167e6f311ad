"""A node that counts what is alive in the server."""

import gc
import json
import time

import comfy.model_management
import torch
from comfy_api.latest import io


class ProbeMemory(io.ComfyNode):
    """JSON of how many tensors live, their bytes, the hooks on modules, and the models that ComfyUI has loaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="ProbeMemory", inputs=[], outputs=[io.String.Output()])

    @classmethod
    def fingerprint_inputs(cls) -> str:
        return str(time.monotonic_ns())

    @classmethod
    def execute(cls) -> io.NodeOutput:
        gc.collect()
        comfy.model_management.cleanup_models_gc()
        everything = gc.get_objects()
        tensors = [thing for thing in everything if issubclass(type(thing), torch.Tensor)]
        modules = [thing for thing in everything if issubclass(type(thing), torch.nn.Module)]
        counted = {
            "tensors": len(tensors),
            "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            "hooks": sum(len(module._forward_hooks) for module in modules),
            "loaded": len(comfy.model_management.current_loaded_models),
        }
        return io.NodeOutput(json.dumps(counted))


NODES: list[type[io.ComfyNode]] = [ProbeMemory]
