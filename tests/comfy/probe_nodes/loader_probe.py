"""Nodes that give the pack's loaders something to load into: full-sized models without weights, given prompts."""

import json
from typing import Any

import comfy.model_patcher
import comfy.sd
import folder_paths
import torch
from comfy_api.latest import io

from .lora_keys_probe import networks


class ProbeFullSize(io.ComfyNode):
    """MODEL and CLIP of a checkpoint's shapes, whose weights take no memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeFullSize",
            inputs=[io.String.Input("ckpt_name")],
            outputs=[io.Model.Output("MODEL"), io.Clip.Output("CLIP")],
        )

    @classmethod
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        model, encoders = networks(folder_paths.get_full_path_or_raise("checkpoints", ckpt_name))
        clip = comfy.sd.CLIP(no_init=True)
        clip.cond_stage_model, clip.patcher = encoders, _patcher(encoders)
        clip.tokenizer, clip.tokenizer_options, clip.layer_idx = None, {}, None
        clip.use_clip_schedule = clip.apply_hooks_to_conds = False
        return io.NodeOutput(_patcher(model), clip)


class ProbeConditioning(io.ComfyNode):
    """A random prompt: `[1, 77, width]`, pooled `[1, 1280]`, and SDXL's sizes of a picture of 1024 px."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeConditioning",
            inputs=[io.Int.Input("seed"), io.Int.Input("width", max=4096)],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, seed: int, width: int) -> io.NodeOutput:
        generator = torch.Generator().manual_seed(seed)
        states, pooled = torch.randn(1, 77, width, generator=generator), torch.randn(1, 1280, generator=generator)
        sizes = {"width": 1024, "height": 1024, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 1024}
        return io.NodeOutput([[states, {"pooled_output": pooled, **sizes}]])


class ProbeSame(io.ComfyNode):
    """Whether two values are the very same object."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeSame",
            inputs=[io.AnyType.Input("one"), io.AnyType.Input("other")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, one: Any, other: Any) -> io.NodeOutput:
        return io.NodeOutput(str(one is other))


class ProbeControlNet(io.ComfyNode):
    """JSON of what a CONTROL_NET is: its class, and whether it averages over the picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeControlNet", inputs=[io.ControlNet.Input("control_net")], outputs=[io.String.Output()]
        )

    @classmethod
    def execute(cls, control_net: Any) -> io.NodeOutput:
        averages = bool(getattr(control_net, "global_average_pooling", False))
        return io.NodeOutput(json.dumps([type(control_net).__name__, averages]))


def _patcher(network: Any) -> comfy.model_patcher.ModelPatcher:
    return comfy.model_patcher.ModelPatcher(network, torch.device("meta"), torch.device("meta"))


NODES: list[type[io.ComfyNode]] = [ProbeFullSize, ProbeConditioning, ProbeSame, ProbeControlNet]
