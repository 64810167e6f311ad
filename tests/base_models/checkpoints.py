"""Tiny random SD models, as diffusers' folder and as one file in the published key layout."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from fairhands.base_models.shapes import Shapes
from fairhands.base_models.single_file import empty_networks

Weights = dict[str, Tensor]

CLIP = {
    "vocab_size": 49408, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
    "projection_dim": 24, "bos_token_id": 49406, "eos_token_id": 49407,
}  # fmt: skip
UNET = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 8}
SD_UNET = {
    **UNET, "cross_attention_dim": 32, "attention_head_dim": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
XL_UNET = {
    **UNET, "cross_attention_dim": 64, "attention_head_dim": (2, 4), "transformer_layers_per_block": (1, 2),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24 + 6 * 8,
}  # fmt: skip
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4,
    "scaling_factor": 0.3,
}  # fmt: skip


def write_folder(folder: Path, xl: bool = False, prediction: str = "epsilon") -> Path:
    """A folder of a tiny SD 1.5 or SDXL, the same one each time."""
    torch.manual_seed(1)
    UNet2DConditionModel(**(XL_UNET if xl else SD_UNET)).save_pretrained(folder / "unet")
    AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    spread(CLIPTextModel(CLIPTextConfig(**CLIP, hidden_act="quick_gelu"))).save_pretrained(folder / "text_encoder")
    if xl:
        second = CLIPTextModelWithProjection(CLIPTextConfig(**CLIP, hidden_act="gelu"))
        spread(second).save_pretrained(folder / "text_encoder_2")
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction
    ).save_pretrained(folder / "scheduler")
    name = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name}))
    return folder


def spread(encoder: Any) -> Any:
    """A new CLIP's words are nearly alike; make them differ."""
    for name, weight in encoder.named_parameters():
        if "embedding" in name:
            nn.init.normal_(weight)
    return encoder


def write_file(path: Path, folder: Path, dtype: torch.dtype = torch.float32, extra: Mapping[str, Tensor] = {}) -> Path:
    """The folder's model in one file."""
    weights = in_one({part.name: part_weights(part) for part in folder.iterdir() if (part / "config.json").exists()})
    save_file({name: weight.to(dtype).contiguous() for name, weight in weights.items()} | dict(extra), path)
    return path


def part_weights(part: Path) -> Weights:
    return {name: weight for file in part.glob("*.safetensors") for name, weight in load_file(file).items()}


def in_one(parts: Mapping[str, Weights]) -> Weights:
    """All weights under the names of the published checkpoints."""
    xl = "text_encoder_2" in parts
    first = "conditioner.embedders.0.transformer" if xl else "cond_stage_model.transformer"
    weights = {f"model.diffusion_model.{name}": weight for name, weight in unet_names(parts["unet"]).items()}
    weights |= {f"first_stage_model.{name}": weight for name, weight in vae_names(parts["vae"]).items()}
    for name, weight in parts["text_encoder"].items():
        weights[f"{first}.text_model.{name.removeprefix('text_model.')}"] = weight
    if xl:
        second = open_clip_names(parts["text_encoder_2"])
        weights |= {f"conditioner.embedders.1.model.{name}": weight for name, weight in second.items()}
    return weights


def write_full_size(path: Path, shapes: Shapes) -> Path:
    """A file of a full-sized model in half precision, whose weights are zeros that take no room on the disk."""
    unet, vae, encoders = empty_networks(shapes)
    named = zip(("unet", "vae", "text_encoder", "text_encoder_2"), (unet, vae, *encoders), strict=False)
    weights = in_one(
        {name: {key: on_meta(tensor) for key, tensor in part.state_dict().items()} for name, part in named}
    )
    return write_zeros(path, weights)


def write_zeros(path: Path, weights: Mapping[str, Tensor], texts: Mapping[str, str] = {}) -> Path:
    """A file of zeros in half precision that take no room on the disk, of the shapes of other weights."""
    entries: dict[str, Any] = {"__metadata__": dict(texts)} if texts else {}
    end = 0
    for name, weight in weights.items():
        start, end = end, end + 2 * weight.numel()
        entries[name] = {"dtype": "F16", "shape": list(weight.shape), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return path


def on_meta(tensor: Tensor) -> Tensor:
    return tensor.detach().to("meta")


def unet_names(weights: Weights) -> Weights:
    resnets = (re.match(r"down_blocks\.0\.resnets\.(\d+)", name) for name in weights)
    layers = 1 + max(int(match[1]) for match in resnets if match)
    per_level = layers + 1
    with_attention = {match[1] for name in weights if (match := re.match(r"up_blocks\.(\d+)\.attentions", name))}

    def renamed(name: str) -> str:
        for ours, theirs in (
            ("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"),
            ("time_embedding.linear_2", "time_embed.2"), ("add_embedding.linear_1", "label_emb.0.0"),
            ("add_embedding.linear_2", "label_emb.0.2"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
        ):  # fmt: skip
            name = re.sub(rf"^{ours}\.", f"{theirs}.", name)
        if match := re.match(
            r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name
        ):
            way, level, kind, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
            block = level * per_level + number
            if kind == "downsamplers":
                return f"input_blocks.{(level + 1) * per_level}.0.{rest.replace('conv', 'op')}"
            if kind == "upsamplers":
                place = 2 if match[2] in with_attention else 1
                return f"output_blocks.{(level + 1) * per_level - 1}.{place}.{rest}"
            place = f"input_blocks.{block + 1}" if way == "down" else f"output_blocks.{block}"
            return f"{place}.0.{in_resnet(rest)}" if kind == "resnets" else f"{place}.1.{rest}"
        if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
            place = 1 if match[1] == "attentions" else 2 * int(match[2])
            return f"middle_block.{place}.{in_resnet(match[3]) if match[1] == 'resnets' else match[3]}"
        return name

    def in_resnet(name: str) -> str:
        layer, end = name.rsplit(".", 1)
        names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}
        names |= {"norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
        return f"{names[layer]}.{end}"

    return {renamed(name): weight for name, weight in weights.items()}


def vae_names(weights: Weights) -> Weights:
    last = max(int(match[1]) for name in weights if (match := re.match(r"decoder\.up_blocks\.(\d+)", name)))

    def renamed(name: str) -> str:
        name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda match: f"up.{last - int(match[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda match: f"up.{last - int(match[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if "attentions" in name:
            name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
            for ours, theirs in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
                name = name.replace(f".{ours}.", f".{theirs}.")
        return name

    names = {renamed(name): weight for name, weight in weights.items()}
    return {name: weight[..., None, None] if weight.dim() == 2 else weight for name, weight in names.items()}


def open_clip_names(weights: Weights) -> Weights:
    found: Weights = {}
    joined: dict[str, list[Tensor]] = {}
    for name, weight in sorted(weights.items()):
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            found["text_projection"] = weight.T
        elif name.startswith("embeddings.token"):
            found["token_embedding.weight"] = weight
        elif name.startswith("embeddings.position"):
            found["positional_embedding"] = weight
        elif name.startswith("final_layer_norm"):
            found[name.replace("final_layer_norm", "ln_final")] = weight
        elif match := re.match(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            joined.setdefault(f"transformer.resblocks.{match[1]}.attn.in_proj_{match[3]}", []).append(weight)
        else:
            for ours, theirs in (
                ("encoder.layers", "transformer.resblocks"), ("self_attn", "attn"), ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"), ("fc1", "c_fc"), ("fc2", "c_proj"),
            ):  # fmt: skip
                name = name.replace(ours, theirs)
            found[name] = weight
    # Sorted by name they came as k, q, v; they are joined as q, k, v.
    return found | {name: torch.cat([parts[1], parts[0], parts[2]]) for name, parts in joined.items()}
