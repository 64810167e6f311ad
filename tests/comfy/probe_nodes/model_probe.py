"""A node that builds ComfyUI's own models small, with random weights, so that no checkpoint is needed."""

from dataclasses import dataclass, field
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.taesd.taesd
import torch
from comfy_api.latest import io

Weights = dict[str, torch.Tensor]
Conditioning = list[list[Any]]

TOKENS = 77
# Half the range of a picture in the model's latents: far above the sampler's noise (standard deviation 1), so that
# hands stay visible in noisy estimates.
PICTURE_SIZE = 18.0
# A prediction well below the noise's size leaves an encoded picture's estimate recognisable.
PREDICTION_SIZE = 0.3
LUMA = (0.299, 0.587, 0.114)


class SD15WithVPrediction(comfy.supported_models.SD15):
    """SD1.5 that predicts v; ComfyUI has that type for SD2 and SDXL alone."""

    def model_type(self, state_dict: Weights, prefix: str = "") -> Any:
        return comfy.model_base.ModelType.V_PREDICTION


@dataclass(frozen=True)
class Family:
    """One architecture: its configuration in ComfyUI, reduced in depth and width, and what its conditioning holds."""

    config: type[comfy.supported_models_base.BASE]
    network: dict[str, Any]
    last_layer: str
    context_width: int
    pooled_width: int
    extras: dict[str, Any] = field(default_factory=dict)
    has_control_net: bool = False


UNET: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "use_spatial_transformer": True,
    "legacy": False,
}
SD15_UNET = UNET | {
    "context_dim": 768,
    "transformer_depth": [1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1],
    "use_linear_in_transformer": False,
}
SDXL_UNET = UNET | {
    "context_dim": 2048,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "transformer_depth": [0, 2],
    "transformer_depth_middle": 2,
    "transformer_depth_output": [0, 0, 2, 2],
    "use_linear_in_transformer": True,
}
SD3_MMDIT: dict[str, Any] = {
    "input_size": None,
    "patch_size": 2,
    "in_channels": 16,
    "depth": 2,
    "num_blocks": 3,
    "num_patches": 32 * 32,
    "pos_embed_max_size": 32,
    "pos_embed_scaling_factor": None,
    "adm_in_channels": 2048,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 128}},
}
FLUX: dict[str, Any] = {
    "image_model": "flux",
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 128,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [8, 28, 28],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
}
SIZES = {"width": 1024, "height": 1024, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 1024}
FAMILIES = {
    "sd15": Family(comfy.supported_models.SD15, SD15_UNET, "out.2.weight", 768, 768, has_control_net=True),
    "sd15_v": Family(SD15WithVPrediction, SD15_UNET, "out.2.weight", 768, 768),
    "sdxl": Family(comfy.supported_models.SDXL, SDXL_UNET, "out.2.weight", 2048, 1280, SIZES, has_control_net=True),
    "sd3": Family(comfy.supported_models.SD3, SD3_MMDIT, "final_layer.linear.weight", 4096, 2048),
    "flux": Family(comfy.supported_models.Flux, FLUX, "final_layer.linear.weight", 4096, 768, {"guidance": 3.5}),
}


class ProbeModel(io.ComfyNode):
    """A small random model of a family, its VAE, two prompts, and a ControlNet where the family has one here."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeModel",
            inputs=[
                io.Combo.Input("family", options=list(FAMILIES)),
                io.Int.Input("seed", default=0, min=0),
                io.String.Input("dtype", default="float32", optional=True),
            ],
            outputs=[
                io.Model.Output("MODEL"),
                io.Vae.Output("VAE"),
                io.Conditioning.Output("POSITIVE", display_name="positive"),
                io.Conditioning.Output("NEGATIVE", display_name="negative"),
                io.ControlNet.Output("CONTROL_NET"),
            ],
        )

    @classmethod
    def execute(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, family: str, seed: int, dtype: str = "float32"
    ) -> io.NodeOutput:
        chosen, generator = FAMILIES[family], torch.Generator().manual_seed(seed)
        model = diffusion_model(chosen, generator, getattr(torch, dtype))
        positive, negative = conditioning(chosen, generator), conditioning(chosen, generator)
        control = control_net(chosen, generator) if chosen.has_control_net else None
        return io.NodeOutput(model, autoencoder(model.model.latent_format), positive, negative, control)


def diffusion_model(
    family: Family, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> comfy.model_patcher.ModelPatcher:
    """The family's model as ComfyUI's loaders make it, computing in float32 whatever its weights are stored in."""
    config = family.config(family.network)
    config.set_inference_dtype(dtype, None if dtype == torch.float32 else torch.float32)
    model = config.get_model({}, "", device=comfy.model_management.unet_offload_device())
    weights = random_weights(model.diffusion_model, generator)
    weights[family.last_layer] *= PREDICTION_SIZE
    model.load_model_weights(weights, "")
    return _patcher(model)


def control_net(family: Family, generator: torch.Generator) -> comfy.controlnet.ControlNet:
    """A ControlNet of the U-Net's widths that looks at pictures; its "zero" convolutions are not zero."""
    config = family.config(family.network)
    settings = config.unet_config | {"hint_channels": 3, "operations": comfy.ops.disable_weight_init}
    network = comfy.cldm.cldm.ControlNet(**settings)
    weights = random_weights(network, generator)
    for key in weights:
        # Eight layers with SiLU and no norms, each of which would shrink the picture by that much.
        if key.startswith("input_hint_block") and key.endswith("weight"):
            weights[key] *= 1.7
    network.load_state_dict(weights)
    return comfy.controlnet.ControlNet(network, load_device=comfy.model_management.get_torch_device())


def conditioning(family: Family, generator: torch.Generator) -> Conditioning:
    """A random prompt of the family's widths."""
    tokens = torch.randn(1, TOKENS, family.context_width, generator=generator)
    pooled = torch.randn(1, family.pooled_width, generator=generator)
    return [[tokens, {"pooled_output": pooled, **family.extras}]]


def autoencoder(latent_format: Any) -> comfy.sd.VAE:
    """A VAE whose latents, brought into the model's range, are grey pictures of `-PICTURE_SIZE..PICTURE_SIZE`."""
    weights = autoencoder_weights(latent_format.latent_channels)
    weights["vae_scale"] += 0.5 * latent_format.scale_factor / PICTURE_SIZE
    weights["vae_shift"] += getattr(latent_format, "shift_factor", 0.0)
    return comfy.sd.VAE(sd=weights)


def autoencoder_weights(channels: int) -> Weights:
    """Weights of TAESD's shape, scale and shift 0: each cell of 8 x 8 pixels keeps `channels` = n x n grey values."""
    taesd = comfy.taesd.taesd.TAESD(latent_channels=channels)
    weights = {key: torch.zeros_like(value) for key, value in taesd.state_dict().items()}
    average, tent = torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.25, 0.5, 0.25])
    # The value at offset 0 or 1 of a pair: which tap reads it, and how it spreads after the upsampling.
    pick = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    spread = torch.tensor([[0.0, 0.25, 0.25], [0.25, 0.25, 0.0]])

    weights["taesd_encoder.0.weight"][0, :, 1, 1] = torch.tensor(LUMA)
    kept = 1
    for halving, doubling, side in ((2, 17, 8), (6, 12, 4), (10, 7, 2)):
        encode, decode = weights[f"taesd_encoder.{halving}.weight"], weights[f"taesd_decoder.{doubling}.weight"]
        if side**2 > channels:
            encode[0, 0], decode[0, 0] = torch.outer(average, average), torch.outer(tent, tent)
            continue
        for value in range(kept * 4):
            source, quarter = divmod(value, 4)
            row, column = divmod(quarter, 2)
            encode[value, source] = torch.outer(pick[row], pick[column])
            decode[source, value] = torch.outer(spread[row], spread[column])
        kept *= 4
    diagonal = torch.arange(channels)
    weights["taesd_encoder.14.weight"][diagonal, diagonal, 1, 1] = 1.0
    weights["taesd_encoder.14.bias"] -= 0.5
    weights["taesd_decoder.1.weight"][diagonal, diagonal, 1, 1] = 1.0
    weights["taesd_decoder.1.bias"][:channels] += 0.5
    weights["taesd_decoder.19.weight"][:, 0, 1, 1] = 1.0
    return weights


def random_weights(network: torch.nn.Module, generator: torch.Generator) -> Weights:
    """Normal with variance 1 / fan-in, norms 1, biases 0: activations keep their size."""
    weights = {}
    for key, value in network.state_dict().items():
        if key == "pos_embed":
            weights[key] = torch.randn(value.shape, generator=generator)
        elif value.dim() >= 2:
            weights[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
        else:
            weights[key] = torch.full(value.shape, float(key.endswith(("weight", "scale"))))
    return weights


def _patcher(model: Any) -> comfy.model_patcher.ModelPatcher:
    return comfy.model_patcher.ModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


NODES: list[type[io.ComfyNode]] = [ProbeModel]
