"""How kohya's files spell the layers of a base model: the names that ComfyUI, diffusers and others read."""

import re

# For the denoiser and each text encoder. The mannequin model has SD3's layout, where ComfyUI holds a layer's queries,
# keys and values in one matrix: under this prefix it reads diffusers' names, each as a slice, so that nothing is lost.
PREFIXES: dict[str, tuple[str, ...]] = {
    "SD 1.5": ("lora_unet", "lora_te"),
    "SDXL": ("lora_unet", "lora_te1", "lora_te2"),
    "mannequin": ("lora_transformer",),
}

# What is spelled otherwise inside a part of a block: diffusers' names and those of the original layout.
_LAYERS = {
    "resnets": {
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    },
    "downsamplers": {"conv": "op"},
}
_MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}


def kohya(path: str, family: str, part: int = 0, layers_per_block: int = 2) -> str:
    """A layer's name in kohya's files: `lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q`.

    Args:
        path: of its module, in diffusers' and transformers' networks.
        family: of the base model.
        part: 0 for the denoiser, 1 and 2 for the text encoders.
        layers_per_block: of an SDXL U-Net; its layers are spelled in the original layout, which counts through.
    """
    if part:
        # transformers 5.6 dropped this part of the encoders' names, the files kept it.
        path = f"text_model.{path.removeprefix('text_model.')}"
    elif family == "SDXL":
        path = original(path, layers_per_block)
    return f"{PREFIXES[family][part]}_{path.replace('.', '_')}"


def original(path: str, layers_per_block: int = 2) -> str:
    """The path of a layer of SDXL's U-Net in the original layout: `input_blocks.4.1.proj_in`.

    Raises:
        ValueError: it is no layer of the U-Net's blocks.
    """
    found = re.fullmatch(r"(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)", path)
    if found is None:
        raise ValueError(f"{path} is no layer in the blocks of a U-Net")
    side, block, kind, number, rest = found.groups()
    if kind in _LAYERS:
        rest = _LAYERS[kind][rest]
    if side is None:
        return f"middle_block.{_MIDDLE[f'{kind}.{number}']}.{rest}"
    return f"{_place(side, int(block), kind, int(number), layers_per_block)}.{rest}"


def _place(side: str, block: int, kind: str, number: int, layers_per_block: int) -> str:
    first = block * (layers_per_block + 1)
    if kind == "downsamplers":
        return f"input_blocks.{first + layers_per_block + 1}.0"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers_per_block}.2"
    within = {"resnets": 0, "attentions": 1}[kind]
    return (
        f"input_blocks.{first + number + 1}.{within}" if side == "down" else f"output_blocks.{first + number}.{within}"
    )
