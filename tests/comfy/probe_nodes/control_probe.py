"""Nodes that read a ControlNet's or T2I-Adapter's file with ComfyUI's own reader."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import comfy.controlnet
import folder_paths
import torch
from comfy_api.latest import io
from safetensors import safe_open
from safetensors.torch import load_file, save_file

META = torch.device("meta")


class ProbeControl(io.ComfyNode):
    """What a network of the folder models/controlnet adds, written to a file, and what its reader complained about."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeControl",
            inputs=[io.String.Input("control_net_name"), io.String.Input("shown"), io.String.Input("added")],
            outputs=[io.String.Output("STRING")],
        )

    @classmethod
    def execute(cls, control_net_name: str, shown: str, added: str) -> io.NodeOutput:
        path = folder_paths.get_full_path_or_raise("controlnet", control_net_name)
        with complaints() as said:
            control: Any = comfy.controlnet.load_controlnet(path, model_options={"dtype": torch.float32})
        given = load_file(os.path.join(folder_paths.get_input_directory(), shown))
        if isinstance(control, comfy.controlnet.T2IAdapter):
            found = control.t2i_model.float()(given["hint"])
        else:
            found = control.control_model.float()(**given)
        tensors = {
            f"{place}.{at:02}": tensor.contiguous().clone()
            for place, several in found.items()
            for at, tensor in enumerate(several)
            if tensor is not None
        }
        save_file(tensors, os.path.join(folder_paths.get_output_directory(), added))
        return io.NodeOutput(json.dumps({"said": said, "kind": type(control).__name__}))


class ProbeControlKeys(io.ComfyNode):
    """What the reader complains about in a file of which it sees names and shapes alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeControlKeys",
            inputs=[io.String.Input("control_net_name")],
            outputs=[io.String.Output("STRING")],
        )

    @classmethod
    def execute(cls, control_net_name: str) -> io.NodeOutput:
        with safe_open(folder_paths.get_full_path_or_raise("controlnet", control_net_name), "pt") as file:
            weights = {key: torch.empty(file.get_slice(key).get_shape(), device=META) for key in file.keys()}  # noqa: SIM118
        with complaints() as said, mock.patch("comfy.model_management.unet_offload_device", return_value=META):
            control: Any = comfy.controlnet.load_controlnet_state_dict(weights, model_options={"dtype": torch.float16})
        return io.NodeOutput(json.dumps({"said": said, "kind": type(control).__name__}))


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What is said of keys meanwhile: a reader makes no more of unmatched ones than a remark for debugging."""
    said: list[str] = []
    heard, root = logging.Handler(), logging.getLogger()
    heard.emit = lambda record: said.append(record.getMessage()) if " keys" in record.getMessage() else None
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(heard)
        root.setLevel(level)


NODES: list[type[io.ComfyNode]] = [ProbeControl, ProbeControlKeys]
