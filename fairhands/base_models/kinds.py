"""What base model a single file holds, told by the names and shapes of its tensors."""

from pathlib import Path
from typing import Literal

from ..mannequin_world.file import KIND as MANNEQUIN_KIND
from ..weight_header import Header, HeaderError
from ..weight_header import read_header as read_any_header

Family = Literal["SD 1.5", "SDXL", "mannequin"]

UNET = "model.diffusion_model."
AUTOENCODER = "first_stage_model."
FIRST_OF_UNET = f"{UNET}input_blocks.0.0.weight"

# Names that only some model's files have, the most telling first: what it is, in words.
OTHERS = {
    "joint_blocks.": "a checkpoint of SD3",
    "double_blocks.": "a checkpoint of Flux",
    "control_model.": "a ControlNet",
    "cond_stage_model.model.": "a checkpoint of SD 2",
    "conditioner.embedders.0.model.": "a checkpoint of SDXL's refiner",
    "edm_mean": "a checkpoint of Playground",
}
TEXT_ENCODERS: dict[Family, tuple[str, ...]] = {
    "SD 1.5": ("cond_stage_model.transformer.",),
    "SDXL": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
}
WANTED = (
    "a base model: a checkpoint of SD 1.5 or SDXL in one .safetensors file as ComfyUI takes it (U-Net, VAE and text "
    "encoder together), a diffusers folder, or the mannequin model"
)


class BaseModelError(ValueError):
    """A file, folder or name that gives no usable base model; its text says what it is and what is wanted."""


def refusal(place: Path | str, found: str) -> BaseModelError:
    """The error for what turned out to be something else."""
    return BaseModelError(f"{place} is {found}, expected {WANTED}.")


def read_header(path: Path) -> Header:
    """The texts of a safetensors file and its tensors' shapes, without the tensors.

    Raises:
        BaseModelError: it cannot be read.
    """
    try:
        return read_any_header(path)
    except HeaderError as error:
        raise refusal(path, str(error)) from error


def family_of(path: Path, header: Header) -> Family:
    """Which base model a file holds.

    Raises:
        BaseModelError: none that can be used; which, in words.
    """
    if header.metadata.get("kind") == MANNEQUIN_KIND:
        return "mannequin"
    names = header.shapes
    for part, found in OTHERS.items():
        if any(part in name for name in names):
            raise refusal(path, found)
    if FIRST_OF_UNET not in names:
        raise refusal(path, header.guess())
    if names[FIRST_OF_UNET][1] > 4:
        raise refusal(path, "a checkpoint for inpainting or editing, whose U-Net reads a further picture")
    if not any(name.startswith(AUTOENCODER) for name in names):
        raise refusal(path, "a U-Net without its VAE")
    for family, prefixes in TEXT_ENCODERS.items():
        if all(any(name.startswith(prefix) for name in names) for prefix in prefixes):
            return family
    raise refusal(path, "a U-Net and VAE without their text encoder")
