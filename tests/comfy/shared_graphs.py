"""The shared graphs as prompts: made small, with stand-ins for the files that an artist brings."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from guidance_graphs import BLOCK, hand_lora
from PIL import Image
from safetensors.torch import load_file, save_file
from test_lora_branch import kohya

from devtools import graph
from devtools.client import ComfyClient, Run
from devtools.paths import CHECKPOINT, CRITIC, ROOT
from fairhands.adapters.description import VERSIONS

WORKFLOWS = ROOT / "workflows"
FILES = sorted(WORKFLOWS.glob("*.json"))
SIDE = 128
MANNEQUIN = "mannequin_model.safetensors"
# Inputs that name a file, and where it belongs under ComfyUI's models.
FOLDERS = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "discriminator": "hand_discriminators",
    "control_net_name": "controlnet",
}
# Channels of the small network by which a ControlNet reads its picture: one convolution after the other.
HINT = (3, 16, 16, 32, 32, 96, 96, 256)

Prompt = dict[str, Any]


def load(client: ComfyClient, name: str) -> Prompt:
    """The graph's API form."""
    return graph.to_prompt(graph.load(WORKFLOWS / f"{name}.json"), client.get("/object_info"))


def inputs(prompt: Prompt, title: str) -> dict[str, Any]:
    """What the node of that title is given."""
    return prompt[graph.by_title(prompt, title)]["inputs"]


def change(prompt: Prompt, class_type: str, **changes: Any) -> None:
    """Give all nodes of a kind, of which there is one at least, other inputs."""
    found = [node for node in prompt.values() if node["class_type"] == class_type]
    assert found, class_type
    for node in found:
        node["inputs"] |= changes


def add(prompt: Prompt, name: str, class_type: str, **given: Any) -> list[Any]:
    """Add a node; the link to its first output."""
    prompt[name] = {"class_type": class_type, "inputs": given, "_meta": {"title": name}}
    return [name, 0]


def use_stand_ins(prompt: Prompt, steps: int = 5) -> None:
    """Take the stand-in checkpoint and critic, 128 px, few steps; guide in the middle, whatever is found there."""
    for node in list(prompt.values()):
        kind, given = node["class_type"], node["inputs"]
        if kind == "CheckpointLoaderSimple":
            given["ckpt_name"] = CHECKPOINT.name
        elif kind == "FairHandsLoadHandDiscriminator":
            given["discriminator"] = CRITIC.name
        elif kind == "EmptyLatentImage" and not isinstance(given["width"], list):
            given |= {"width": SIDE, "height": SIDE}
        elif kind == "PrimitiveInt" and node["_meta"]["title"] == "Steps":
            given["value"] = steps
        if kind in SAMPLING and not isinstance(given["steps"], list):
            given["steps"] = steps
        if kind in GUIDANCE and "start_mask" not in given:
            given["start_mask"] = middle(prompt)


SAMPLING = ("KSampler", "BasicScheduler", "FairHandsHandGuidedKSampler")
GUIDANCE = (
    "FairHandsHandMaskWhileSampling",
    "FairHandsHandVisualGuidance",
    "FairHandsHandLoraGuidance",
    "FairHandsHandGuidedKSampler",
)


def middle(prompt: Prompt) -> list[Any]:
    """A mask of the middle of a picture of 128 px."""
    corners = {"top": 32, "left": 32, "bottom": 96, "right": 96}
    return add(prompt, "middle", "ProbeMask", batch=0, height=SIDE, width=SIDE, **corners)


def use_mannequin_model(prompt: Prompt, side: int = SIDE) -> None:
    """Take the shipped model, critic and LoRA, and its prompts, in place of what the graph names."""
    change(prompt, "CheckpointLoaderSimple", ckpt_name=MANNEQUIN)
    checkpoint = graph.by_title(prompt, "Checkpoint")
    for node in prompt.values():
        if node["inputs"].get("model") == [checkpoint, 0]:
            node["inputs"]["model"] = ["shifted", 0]
        if node["class_type"] == "CLIPTextEncode":
            wanted = "(nothing)" if " not " in node["_meta"]["title"] else "hand"
            node |= {"class_type": "FairHandsMannequinPrompt", "inputs": {"prompt": wanted}}
        elif node["class_type"] == "EmptyLatentImage":
            node["class_type"] = "EmptySD3LatentImage"
            node["inputs"] |= {"width": side, "height": side}
        elif node["class_type"] in ("KSampler", "CFGGuider") and not isinstance(node["inputs"]["cfg"], list):
            node["inputs"]["cfg"] = 1.0
        elif node["_meta"]["title"] == "CFG":
            node["inputs"]["value"] = 1.0
        for name, value in MANNEQUIN_INPUTS.items():
            if name in node["inputs"] and not isinstance(node["inputs"][name], list):
                node["inputs"][name] = value
    add(prompt, "shifted", "ModelSamplingSD3", model=[checkpoint, 0], shift=1.0)


MANNEQUIN_INPUTS = {
    "discriminator": "studio_critic.safetensors",
    "lora_name": "mannequin_hands.safetensors",
    "sampler_name": "euler",
    "scheduler": "simple",
    "first_timestep": 800.0,
    "last_timestep": 300.0,
    "detection_threshold": 0.5,
}


def pictures(client: ComfyClient, run: Run, prompt: Prompt, title: str) -> np.ndarray:
    """The pictures that the node of that title saved or shows: uint8 `[N, H, W, 3]`."""
    files = run.outputs[graph.by_title(prompt, title)]["images"]
    return np.stack([np.asarray(Image.open(BytesIO(client.file(file))).convert("RGB")) for file in files])


def write_lora(base: Path, name: str, family: str) -> str:
    """A LoRA of some layers of the stand-in checkpoint ("SD 1.5") or the small "SDXL" under that name."""
    folder = base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(4)
    tensors = hand_lora("sdxl") if family == "SDXL" else kohya(f"{BLOCK}_attn1_to_q", 4, 320, 320, alpha=8.0)
    save_file(tensors, folder / name, metadata={"ss_base_model_version": VERSIONS[family]})
    return name


def write_control_net(base: Path, name: str) -> str:
    """A ControlNet that fits the stand-in checkpoint, in its authors' layout, with weights that show; its name."""
    prefix = "model.diffusion_model."
    unet = {key.removeprefix(prefix): value for key, value in load_file(CHECKPOINT).items() if key.startswith(prefix)}
    parts = ("input_blocks.", "middle_block.", "time_embed.")
    network = {key: value for key, value in unet.items() if key.startswith(parts)}
    width, levels = len(unet["input_blocks.0.0.bias"]), {key.split(".")[1] for key in network if key[0] == "i"}
    torch.manual_seed(0)
    for place, (channels, out) in enumerate(zip(HINT, (*HINT[1:], width), strict=True)):
        network |= _convolution(f"input_hint_block.{2 * place}", channels, out, 3)
    for place in (*(f"zero_convs.{level}.0" for level in sorted(levels, key=int)), "middle_block_out.0"):
        network |= _convolution(place, width, width, 1)
    folder = base / "models" / "controlnet"
    folder.mkdir(exist_ok=True)
    save_file({f"control_model.{key}": value.contiguous() for key, value in network.items()}, folder / name)
    return name


def _convolution(name: str, channels: int, out: int, side: int) -> dict[str, torch.Tensor]:
    weight = torch.randn(out, channels, side, side) * 2 / (channels * side * side) ** 0.5
    return {f"{name}.weight": weight.half(), f"{name}.bias": torch.zeros(out).half()}
