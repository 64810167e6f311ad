"""The sizes of SD 1.5's and SDXL's networks, which a single file does not say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from .kinds import BaseModelError
from .process import Diffusion, Predicts

# What configurations call what a network predicts.
PREDICTIONS: dict[str, Predicts] = {
    "epsilon": "noise",
    "eps": "noise",
    "v_prediction": "velocity",
    "v": "velocity",
}
SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Shapes:
    """Sizes of a model's networks, and its noise.

    Args:
        unet, vae: diffusers' configurations of UNet2DConditionModel and AutoencoderKL.
        text_encoders: transformers' of the CLIP text models.
        schedule: diffusers' of a scheduler: betas and `prediction_type`.
        tokenizer: a folder with CLIP's vocabulary; None: open_clip's own.
    """

    unet: Configuration
    vae: Configuration
    text_encoders: tuple[Configuration, ...]
    schedule: Configuration = field(default_factory=dict)
    tokenizer: Path | None = None

    def process(self, predicts: Predicts | None) -> Diffusion:
        """How noise is added; `predicts` counts before what the schedule says.

        Raises:
            BaseModelError: the schedule is none that SD is trained with.
        """
        try:
            return Diffusion(self.kept(), predicts or self.predicts())
        except (NotImplementedError, TypeError, ValueError) as error:
            raise BaseModelError(f"The noise schedule cannot be used: {error}") from error

    def kept(self) -> Tensor:
        """The share of a latent's variance that is left at each timestep, [1000]."""
        given = {name: self.schedule[name] for name in SCHEDULE if name in self.schedule}
        return DDPMScheduler(**{**BETAS, **given}).alphas_cumprod

    def predicts(self) -> Predicts:
        """What the U-Net predicts.

        Raises:
            BaseModelError: something that SD's U-Nets do not.
        """
        name = self.schedule.get("prediction_type", "epsilon")
        if name not in PREDICTIONS:
            raise BaseModelError(f"prediction_type should be epsilon or v_prediction, found {name!r}.")
        return PREDICTIONS[name]

    def scheduled(self, **changes: object) -> Shapes:
        """The same with other values in the schedule."""
        return replace(self, schedule={**self.schedule, **changes})


BETAS: Configuration = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

_VAE: Configuration = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
_CLIP: Configuration = {
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "layer_norm_eps": 1e-5,
}
_CLIP_L: Configuration = {
    **_CLIP,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
_CLIP_BIG_G: Configuration = {
    **_CLIP,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SD15 = Shapes(
    unet={
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    },
    vae={**_VAE, "sample_size": 512, "scaling_factor": 0.18215, "force_upcast": False},
    text_encoders=(_CLIP_L,),
)
SDXL = Shapes(
    unet={
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
    vae={**_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
    text_encoders=(_CLIP_L, _CLIP_BIG_G),
)


def described_by(folder: Path) -> Shapes:
    """The shapes in a diffusers folder's configurations.

    Raises:
        BaseModelError: one of them is missing or no JSON.
    """
    second = folder / "text_encoder_2" / "config.json"
    encoders = [_read(folder / "text_encoder" / "config.json")] + ([_read(second)] if second.is_file() else [])
    tokenizer = folder / "tokenizer"
    return Shapes(
        unet=_read(folder / "unet" / "config.json"),
        vae=_read(folder / "vae" / "config.json"),
        text_encoders=tuple(encoders),
        schedule=_read(folder / "scheduler" / "scheduler_config.json"),
        tokenizer=tokenizer if tokenizer.is_dir() else None,
    )


def _read(path: Path) -> Configuration:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaseModelError(
            f"{path} cannot be read ({error.strerror}), expected a diffusers folder's file."
        ) from error
    except ValueError as error:
        raise BaseModelError(f"{path} is no valid JSON ({error}), expected a diffusers folder's file.") from error
