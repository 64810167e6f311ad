"""A node that holds a LoRA file against a full-sized checkpoint, of which it looks at names and shapes alone."""

import json
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.model_detection
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from safetensors import safe_open

NETWORK = "model.diffusion_model."
META = torch.device("meta")


class ProbeLoraKeys(io.ComfyNode):
    """What ComfyUI's own reader makes of a LoRA for the model and the text encoders of a checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeLoraKeys",
            inputs=[io.String.Input("ckpt_name"), io.String.Input("lora_name")],
            outputs=[io.String.Output("STRING")],
        )

    @classmethod
    def execute(cls, ckpt_name: str, lora_name: str) -> io.NodeOutput:
        model, encoders = networks(folder_paths.get_full_path_or_raise("checkpoints", ckpt_name))
        tensors = comfy.utils.load_torch_file(folder_paths.get_full_path_or_raise("loras", lora_name))
        names = comfy.lora.model_lora_keys_clip(encoders, comfy.lora.model_lora_keys_unet(model, {}))
        patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(tensors), names)
        weights = model.state_dict() | encoders.state_dict()
        read = {
            "model": sum(key.startswith("diffusion_model.") for key in patches),
            "text_encoders": sum(key.startswith("clip_") for key in patches),
            "unmatched": sorted({key.split(".")[0] for key in tensors} - names.keys()),
            "misshapen": [key for key, patch in patches.items() if shape(patch) != list(weights[key].shape)],
        }
        return io.NodeOutput(json.dumps(read))


def networks(path: str) -> tuple[Any, Any]:
    """The diffusion model and the text encoders that ComfyUI would load the checkpoint into, without weights."""
    with safe_open(path, "pt") as file:
        weights = {key: torch.empty(file.get_slice(key).get_shape(), device=META) for key in file.keys()}  # noqa: SIM118
    config: Any = comfy.model_detection.model_config_from_unet(weights, NETWORK)
    config.set_inference_dtype(torch.float16, None)
    target = config.clip_target(state_dict=weights)
    encoders = target.clip(**target.params, dtype=torch.float16, device=META, model_options={})
    return config.get_model(weights, NETWORK, device=META), encoders


def shape(patch: Any) -> list[int]:
    """Of the weight that a patch changes."""
    up, down, *_ = patch.weights
    return [up.shape[0], *down.shape[1:]]


NODES: list[type[io.ComfyNode]] = [ProbeLoraKeys]
