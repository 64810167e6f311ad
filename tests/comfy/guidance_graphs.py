"""Guidance nodes as the tests use them most: at every step, in a known place, whatever the detector finds."""

import itertools
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from architectures import SIDE, Patch, model_patch, visual_guidance
from comfy_graphs import GraphBuilder, Link
from test_lora_branch import Tensors, kohya

CRITIC = "studio_critic.safetensors"
MODES = ("fast", "exact")
# All steps but the first: pure noise of a flow model leaves no way back to a picture.
ALWAYS = {"first_timestep": 995.0, "last_timestep": 0.0}
BLOCK = "lora_unet_middle_block_1_transformer_blocks_0"
LAYERS: dict[str, dict[str, tuple[int, ...]]] = {
    "sd15": {f"{BLOCK}_attn1_to_q": (128, 128), f"{BLOCK}_attn2_to_v": (128, 768), f"{BLOCK}_ff_net_2": (128, 512)},
    "sdxl": {f"{BLOCK}_attn1_to_q": (128, 128), f"{BLOCK}_attn2_to_v": (128, 2048), f"{BLOCK}_ff_net_2": (128, 512)},
    "sd3": {
        "lora_unet_joint_blocks_0_x_block_attn_qkv": (384, 128),
        "lora_unet_joint_blocks_1_x_block_mlp_fc2": (128, 512),
    },
    "flux": {"lora_unet_double_blocks_0_img_attn_qkv": (384, 128), "lora_unet_double_blocks_1_img_mlp_2": (128, 512)},
}
_names = itertools.count()


def start_mask(graph: GraphBuilder) -> Link:
    """The middle of the picture."""
    return graph.mask(SIDE, 32, 32, 96, 96)


def guidance(graph: GraphBuilder, **changes: Any) -> Patch:
    """Guidance at every step inside the start mask, whatever the detector finds."""
    return visual_guidance(CRITIC, **(middle(graph) | changes))


def differ(some: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether every image of a batch differs, and is finite."""
    assert some.isfinite().all()
    return all(not torch.equal(image, another) for image, another in zip(some, other, strict=True))


def middle(graph: GraphBuilder) -> dict[str, Any]:
    """Settings of a guidance node for all steps and the middle of the picture."""
    return ALWAYS | {"start_mask": start_mask(graph), "detection_threshold": 1.0}


def everywhere(graph: GraphBuilder) -> dict[str, Any]:
    """Settings of a guidance node for all steps and the whole picture."""
    window = {"first_timestep": 1000.0, "last_timestep": 0.0}
    return window | {"start_mask": graph.mask(8, 0, 0, 8, 8), "detection_threshold": 1.0}


def hand_lora(family: str = "sd15") -> Tensors:
    """A LoRA of some layers of the family's small model, strong enough to be seen."""
    torch.manual_seed(4)
    return {
        key: value for name, shape in LAYERS[family].items() for key, value in kohya(name, 4, *shape, alpha=8.0).items()
    }


def loaded(name: str) -> Patch:
    """ComfyUI's own LoRA at strength 1."""
    return model_patch("LoraLoaderModelOnly", lora_name=name, strength_model=1.0)


def write_lora(base: Path, tensors: Tensors) -> str:
    """Write a file into the loras folder of the server whose folder is `base`; its name."""
    folder = base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    name = f"guidance_{next(_names)}.safetensors"
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
    return name
