"""Write the stand-in checkpoint: SD1.5's key layout, small, no trained weights. `standin.py COMFYUI OUT_FILE`.

It lets the whole graph run where no trained checkpoint is: the U-Net (34 million parameters) and CLIP-L hold random
weights, so what is sampled is noise. The autoencoder has TAESD's shape and weights set by hand: it keeps four grey
values for each 8 x 8 pixels, which is enough for hands to be found again in what it decodes.
"""

import os
import sys
from pathlib import Path
from typing import Any

SEED = 20
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 1, 1],
    "transformer_depth": [0, 0, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 0, 0, 1, 1],
    "use_spatial_transformer": True,
    "context_dim": 768,
    "num_heads": 8,
    "num_head_channels": -1,
    "use_linear_in_transformer": False,
    "legacy": False,
}
# Latents well above the sampler's noise (standard deviation 1), so that hands stay visible in noisy estimates.
VAE_SCALE = 0.005
LUMA = (0.299, 0.587, 0.114)


def main(comfyui: Path, out: Path) -> None:
    """Write the checkpoint whole or not at all."""
    sys.path[0] = str(comfyui)
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import torch
    from safetensors.torch import save_file

    with torch.no_grad():
        tensors = {
            **{f"model.diffusion_model.{key}": value for key, value in unet_weights().items()},
            **{f"cond_stage_model.transformer.{key}": value for key, value in text_encoder_weights().items()},
            **{f"first_stage_model.{key}": value for key, value in autoencoder_weights().items()},
        }
        half = {key: value.to(torch.float16).contiguous() for key, value in tensors.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".part")
    save_file(half, partial, metadata={"fairhands.kind": "standin_checkpoint", "fairhands.seed": str(SEED)})
    os.replace(partial, out)


def unet_weights() -> dict[str, Any]:
    """Random weights of the small U-Net, by ComfyUI's names."""
    import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
    import torch

    unet = openaimodel.UNetModel(**UNET, dtype=torch.float32)
    weights = _random(unet.state_dict(), gain=1.0)
    # A prediction of about a third of the noise's size keeps the estimate of the first steps recognisable.
    weights["out.2.weight"] *= 0.3
    return weights


def text_encoder_weights() -> dict[str, Any]:
    """Random weights of CLIP-L's text encoder, by ComfyUI's names."""
    import comfy.sd1_clip
    import torch

    encoder = comfy.sd1_clip.SDClipModel(device="cpu", dtype=torch.float32)
    return _random(encoder.transformer.state_dict(), gain=0.5)


def autoencoder_weights() -> dict[str, Any]:
    """Weights of TAESD's shape that average 4 x 4 pixels to a grey value and spread them again smoothly."""
    import comfy.taesd.taesd
    import torch

    taesd = comfy.taesd.taesd.TAESD(latent_channels=4)
    weights = {key: torch.zeros_like(value) for key, value in taesd.state_dict().items()}
    average, tent = torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.25, 0.5, 0.25])
    # The quarter at offset 0 or 1 of a latent cell: which tap reads it, and how it spreads after the upsampling.
    pick = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    spread = torch.tensor([[0.0, 0.25, 0.25], [0.25, 0.25, 0.0]])

    encoder, decoder = "taesd_encoder", "taesd_decoder"
    weights[f"{encoder}.0.weight"][0, :, 1, 1] = torch.tensor(LUMA)
    for halving in (2, 6):
        weights[f"{encoder}.{halving}.weight"][0, 0] = torch.outer(average, average)
    for quarter in range(4):
        row, column = divmod(quarter, 2)
        weights[f"{encoder}.10.weight"][quarter, 0] = torch.outer(pick[row], pick[column])
        weights[f"{encoder}.14.weight"][quarter, quarter, 1, 1] = 1.0
        weights[f"{decoder}.1.weight"][quarter, quarter, 1, 1] = 1.0
        weights[f"{decoder}.7.weight"][0, quarter] = torch.outer(spread[row], spread[column])
    weights[f"{encoder}.14.bias"] -= 0.5
    weights[f"{decoder}.1.bias"][:4] += 0.5
    for doubling in (12, 17):
        weights[f"{decoder}.{doubling}.weight"][0, 0] = torch.outer(tent, tent)
    weights[f"{decoder}.19.weight"][:, 0, 1, 1] = 1.0
    weights["vae_scale"] += VAE_SCALE
    return weights


def _random(shapes: dict[str, Any], gain: float) -> dict[str, Any]:
    """Weights of those shapes: normal with variance gain^2 / fan-in, norms 1, biases 0."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for key, shape in shapes.items():
        if not shape.is_floating_point():
            weights[key] = shape
        elif shape.dim() >= 2:
            fan_in = shape[0].numel()
            weights[key] = torch.randn(shape.shape, generator=generator) * gain / fan_in**0.5
        else:
            weights[key] = torch.ones(shape.shape) if key.endswith("weight") else torch.zeros(shape.shape)
    return weights


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
