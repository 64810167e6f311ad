"""A node that counts what is alive in the server."""

import copy
import gc
import json
import time

import comfy.model_management
import comfy.model_patcher
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


class ProbeDevices(io.ComfyNode):
    """JSON of the devices that a discriminator's weights are on after it was loaded with next to no memory left."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeDevices",
            inputs=[io.Custom("HAND_DISCRIMINATOR").Input("discriminator")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, discriminator: comfy.model_patcher.ModelPatcher) -> io.NodeOutput:
        # The device "meta" stands for a card: weights can be moved there, and not back.
        patcher = discriminator.__class__(copy.deepcopy(discriminator.model), torch.device("meta"), torch.device("cpu"))
        patcher.load(torch.device("meta"), lowvram_model_memory=1)
        return io.NodeOutput(json.dumps(sorted({str(weight.device) for weight in patcher.model.parameters()})))


NODES: list[type[io.ComfyNode]] = [ProbeMemory, ProbeDevices]
