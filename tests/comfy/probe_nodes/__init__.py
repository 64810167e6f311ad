"""Nodes for the tests' graphs: bring exact values into a graph, and out of it again."""

import json
import os
from typing import Any, NamedTuple

import folder_paths
import numpy as np
import safetensors.torch
import torch
from comfy_api.latest import ComfyExtension, io

from . import (
    control_probe,
    loader_probe,
    lora_keys_probe,
    lora_probe,
    memory_probe,
    model_probe,
    patch_probe,
    words_probe,
)

PoseKeypoint = io.Custom("POSE_KEYPOINT")
Segs = io.Custom("SEGS")


class Seg(NamedTuple):
    """A thing found, with the names and the order of the Impact Pack's own."""

    cropped_image: Any
    cropped_mask: Any
    confidence: float
    crop_region: list[int]
    bbox: list[int]
    label: str
    control_net_wrapper: Any


class ProbePose(io.ComfyNode):
    """JSON -> POSE_KEYPOINT, as a pose detector's node gives it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePose", inputs=[io.String.Input("json")], outputs=[PoseKeypoint.Output("POSE_KEYPOINT")]
        )

    @classmethod
    def execute(cls, **inputs: str) -> io.NodeOutput:
        return io.NodeOutput(json.loads(inputs["json"]))


class ProbeSegs(io.ComfyNode):
    """One rectangle as SEGS, with the fields of the Impact Pack's SEG."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = ("height", "width", "top", "left", "bottom", "right")
        return io.Schema(
            node_id="ProbeSegs",
            inputs=[io.Int.Input(name, default=0, min=0, max=4096) for name in names],
            outputs=[Segs.Output("SEGS")],
        )

    @classmethod
    def execute(cls, height: int, width: int, top: int, left: int, bottom: int, right: int) -> io.NodeOutput:
        region = [left, top, right, bottom]
        mask = np.ones((bottom - top, right - left), np.float32)
        return io.NodeOutput(((height, width), [Seg(None, mask, 0.9, region, region, "hand", None)]))


class ProbeMask(io.ComfyNode):
    """A MASK of `[H, W]` or `[B, H, W]` with a filled rectangle."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = ("batch", "height", "width", "top", "left", "bottom", "right")
        return io.Schema(
            node_id="ProbeMask",
            inputs=[io.Int.Input(name, default=0, min=0, max=4096) for name in names],
            outputs=[io.Mask.Output("MASK")],
        )

    @classmethod
    def execute(
        cls, batch: int, height: int, width: int, top: int, left: int, bottom: int, right: int
    ) -> io.NodeOutput:
        mask = torch.zeros(height, width)
        mask[top:bottom, left:right] = 1.0
        return io.NodeOutput(mask if batch == 0 else mask.expand(batch, -1, -1).clone())


class ProbeAny(io.ComfyNode):
    """A text that fits any input, as other packs' nodes give choices."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="ProbeAny", inputs=[io.String.Input("text")], outputs=[io.AnyType.Output()])

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        return io.NodeOutput(text)


class ProbeSave(io.ComfyNode):
    """Write a LATENT, MASK, IMAGE or CONDITIONING (its first tokens) as a float tensor, every bit of it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeSave",
            inputs=[io.AnyType.Input("value"), io.String.Input("name")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, value: Any, name: str) -> io.NodeOutput:
        tensor = value["samples"] if isinstance(value, dict) else value[0][0] if isinstance(value, list) else value
        file = os.path.join(folder_paths.get_output_directory(), f"{name}.safetensors")
        safetensors.torch.save_file({"value": tensor.contiguous().clone()}, file)
        return io.NodeOutput(ui={"probe": [{"filename": f"{name}.safetensors", "subfolder": "", "type": "output"}]})


class ProbeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        probes = (
            model_probe,
            lora_probe,
            lora_keys_probe,
            loader_probe,
            control_probe,
            words_probe,
            memory_probe,
            patch_probe,
        )
        return [
            ProbePose,
            ProbeSegs,
            ProbeMask,
            ProbeAny,
            ProbeSave,
            *(node for probe in probes for node in probe.NODES),
        ]


async def comfy_entrypoint() -> ProbeExtension:
    return ProbeExtension()
