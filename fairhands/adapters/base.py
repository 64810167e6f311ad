"""The base model that an adapter is trained on: what can be chosen about it, and how it is loaded."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field

from ..base_models import BaseModel, folder, load
from ..base_models.process import Predicts
from ..training.configuration import Configuration, Required
from ..training.processes import device
from .eight_bit import in_eight_bits

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class BaseSettings(Configuration):
    """Which base model, and in what precision its frozen weights are kept."""

    base: Annotated[str, Required()] = Field(
        default="",
        description="The base model: a checkpoint of SD 1.5 or SDXL (.safetensors), a diffusers folder, its name on "
        "the hub, or the mannequin model.",
    )
    base_config: Path | None = Field(
        default=None, description="For a checkpoint of unusual size: a diffusers folder whose configurations fit it."
    )
    base_precision: Literal["auto", "bf16", "fp16", "fp32", "8bit"] = Field(
        default="auto",
        description="Of the base's frozen weights; auto: half on a card, single else; 8bit needs bitsandbytes.",
    )
    predicts: Predicts | None = Field(
        default=None, description="What an SD checkpoint predicts where it does not say so: noise or velocity."
    )
    allow_download: bool = Field(default=False, description="Whether the base may be fetched from the hub.")

    @property
    def base_path(self) -> Path:
        """The base model's file or folder, fetched from the hub if need be.

        Raises:
            BaseModelError: it is neither here nor fetched.
        """
        given = Path(self.base)
        return given if given.exists() else folder.fetched(self.base, self.allow_download)


def check_base(settings: BaseSettings) -> None:
    """Look whether a base model is given, without loading it.

    Raises:
        ValueError: it is not.
    """
    if not settings.base:
        raise ValueError("No base model is given: --base names a checkpoint, a diffusers folder or a name on the hub.")


def load_base(settings: BaseSettings) -> BaseModel:
    """The base model on this process's device, its weights frozen.

    Raises:
        BaseModelError: there is no such base model.
        ImportError: a package is missing that 8 bits need.
    """
    path, config, predicts = settings.base_path, settings.base_config, settings.predicts
    base = load(path, device(), _dtype(settings), config=config, predicts=predicts)
    if settings.base_precision == "8bit":
        in_eight_bits(base)
    return base


def _dtype(settings: BaseSettings) -> torch.dtype:
    if settings.base_precision in DTYPES:
        return DTYPES[settings.base_precision]
    if device().type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
