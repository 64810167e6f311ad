"""SD1.5's networks at their full size in random weights, made in memory, and the files beside them.

Speed does not depend on what weights mean; they only have to keep every value finite. Weights are normal with variance
1 / fan-in, norms 1, biases 0, so that activations keep their size.
"""

from collections.abc import Iterator
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from safetensors.torch import save_file
from torch import nn

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "legacy": False,
    "context_dim": 768,
}
AUTOENCODER = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}
TOKENS, CONTEXT_WIDTH = 77, 768
RANK = 4
# A LoRA's difference of about a tenth of what its layer gives.
LORA_SIZE = 0.1
# A prediction well below the noise's size keeps latents in the usual range under guidance at scale 7.5.
PREDICTION_SIZE = 0.3

# Width and number of the transformers in each block of the U-Net, by the names that LoRA trainers use.
TRANSFORMERS = {
    "down_blocks_0": (320, 2),
    "down_blocks_1": (640, 2),
    "down_blocks_2": (1280, 2),
    "mid_block": (1280, 1),
    "up_blocks_1": (1280, 3),
    "up_blocks_2": (640, 3),
    "up_blocks_3": (320, 3),
}


def unet() -> comfy.model_patcher.ModelPatcher:
    """The U-Net in bfloat16, 860 million parameters, as ComfyUI's loaders make it."""
    config = comfy.supported_models.SD15(dict(UNET))
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, "", device=comfy.model_management.unet_offload_device())
    network: nn.Module = model.diffusion_model
    fill(network)
    network.get_parameter("out.2.weight").mul_(PREDICTION_SIZE)
    return comfy.model_patcher.ModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def autoencoder() -> comfy.sd.VAE:
    """The autoencoder of SD1.5's checkpoints, 84 million parameters."""
    network = AutoencoderKL(ddconfig=AUTOENCODER, embed_dim=4)
    fill(network)
    return comfy.sd.VAE(sd=network.state_dict())


def prompt(seed: int) -> list[list[object]]:
    """Conditioning of CLIP-L's shape."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, TOKENS, CONTEXT_WIDTH, generator=generator), {}]]


def fill(network: nn.Module) -> None:
    """Give a network its random weights in place."""
    for name, parameter in network.named_parameters():
        if parameter.dim() >= 2:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            nn.init.constant_(parameter, float(name.endswith("weight")))


def write_tiny_decoder(file: Path) -> None:
    """A decoder of TAESD's shape, whose pictures are grey noise inside 0..1."""
    decoder = comfy.taesd.taesd.Decoder()
    fill(decoder)
    nn.init.constant_(decoder.get_parameter(f"{len(decoder) - 1}.bias"), 0.5)
    _write({key: value.detach() for key, value in decoder.state_dict().items()}, file)


def write_lora(file: Path) -> None:
    """A LoRA of rank 4 of all attention layers in kohya's naming."""
    tensors = {}
    for layer, out, inner in attention_layers():
        tensors[f"{layer}.lora_down.weight"] = torch.randn(RANK, inner) * inner**-0.5
        tensors[f"{layer}.lora_up.weight"] = torch.randn(out, RANK) * LORA_SIZE * RANK**-0.5
        tensors[f"{layer}.alpha"] = torch.tensor(float(RANK))
    _write(tensors, file)


def attention_layers() -> Iterator[tuple[str, int, int]]:
    """Name, outputs and inputs of each of the U-Net's 128 attention layers."""
    for block, (width, count) in TRANSFORMERS.items():
        for number in range(count):
            for attention, context in (("attn1", width), ("attn2", CONTEXT_WIDTH)):
                path = f"lora_unet_{block}_attentions_{number}_transformer_blocks_0_{attention}"
                yield f"{path}_to_q", width, width
                yield f"{path}_to_k", width, context
                yield f"{path}_to_v", width, context
                yield f"{path}_to_out_0", width, width


def _write(tensors: dict[str, torch.Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
