"""SD 1.5 and SDXL from a folder as diffusers saves them, or from the hub."""

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.adapter import T2IAdapter
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from .kinds import BaseModelError, Family, refusal
from .process import Predicts
from .shapes import described_by
from .stable_diffusion import Networks
from .tokens import clip_tokenizer

INDEX = "model_index.json"
FAMILIES: dict[str, Family] = {"StableDiffusionPipeline": "SD 1.5", "StableDiffusionXLPipeline": "SDXL"}
SD2_STATES = 1024  # width of the text states that SD 2's U-Net reads
NEEDED = (
    INDEX,
    "scheduler/*.json",
    "tokenizer/*",
    *(f"{name}/config.json" for name in ("unet", "vae", "text_encoder", "text_encoder_2")),
    *(f"{name}/*.safetensors*" for name in ("unet", "vae", "text_encoder", "text_encoder_2")),
)
UNNEEDED = ("*non_ema*", "*.fp16.*", "*openvino*", "*.onnx")

Model = TypeVar(
    "Model",
    UNet2DConditionModel,
    AutoencoderKL,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    ControlNetModel,
    T2IAdapter,
)


def family_of(folder: Path) -> Family:
    """Which base model a diffusers folder holds.

    Raises:
        BaseModelError: none that can be used.
    """
    try:
        pipeline = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    except OSError as error:
        raise refusal(folder, f"a folder without a readable {INDEX}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise refusal(folder, f"a folder with a damaged {INDEX}") from error
    if pipeline not in FAMILIES:
        raise refusal(folder, f"a diffusers folder of {pipeline}")
    if described_by(folder).unet.get("cross_attention_dim") == SD2_STATES:
        raise refusal(folder, "a diffusers folder of SD 2")
    return FAMILIES[pipeline]


def read(folder: Path, family: Family, dtype: torch.dtype, predicts: Predicts | None) -> Networks:
    """The networks in a diffusers folder, in that precision.

    Raises:
        BaseModelError: one of them is missing or damaged.
    """
    shapes = described_by(folder)
    encoders: tuple[CLIPTextModel | CLIPTextModelWithProjection, ...]
    encoders = (network(CLIPTextModel, folder / "text_encoder", dtype),)
    if family == "SDXL":
        encoders += (network(CLIPTextModelWithProjection, folder / "text_encoder_2", dtype),)
    return Networks(
        network(UNet2DConditionModel, folder / "unet", dtype),
        network(AutoencoderKL, folder / "vae", dtype),
        encoders,
        clip_tokenizer(shapes.tokenizer),
        shapes.process(predicts),
    )


def fetched(name: str, allow_download: bool) -> Path:
    """The folder of a repository on the hub, `owner/name`: fetched now if that is allowed, or some time before.

    Raises:
        BaseModelError: it is not there.
    """
    if name.endswith(".safetensors"):
        raise refusal(name, "no file here")
    try:
        return Path(
            snapshot_download(
                name, allow_patterns=list(NEEDED), ignore_patterns=list(UNNEEDED), local_files_only=not allow_download
            )
        )
    except HFValidationError as error:
        raise refusal(name, "no file, no folder and no name on the hub") from error
    except LocalEntryNotFoundError as error:
        advice = "it cannot be reached" if allow_download else "allow_download = true fetches it"
        raise BaseModelError(
            f"{name} is no file or folder here, and was not fetched from the hub before: {advice}."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise BaseModelError(f"{name} cannot be fetched from the hub: {str(error).splitlines()[0]}") from error


def network(kind: type[Model], folder: Path, dtype: torch.dtype) -> Model:
    """The one network that a folder holds, as diffusers and transformers save it.

    Raises:
        BaseModelError: it is missing or damaged.
    """
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "torch_dtype": dtype}
    if not any(path.suffixes[-2:] != [".fp16", ".safetensors"] for path in folder.glob("*.safetensors")):
        options["variant"] = "fp16"
    try:
        return kind.from_pretrained(str(folder), **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseModelError(f"{folder} holds no usable {kind.__name__} in safetensors: {reason}") from error
