"""A base model from a file, a folder or a hub's name."""

import hashlib
from pathlib import Path

import torch

from . import folder, single_file
from .kinds import BaseModelError, Family, family_of, read_header
from .mannequin import Mannequin
from .model import BaseModel
from .process import Predicts
from .shapes import SD15, SDXL, described_by
from .stable_diffusion import Networks, StableDiffusion, StableDiffusionXL

__all__ = ["BaseModelError", "fingerprint", "load"]

LOOKED_AT = 1 << 20  # bytes at each end of a weight file


def load(
    path_or_name: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    config: Path | None = None,
    allow_download: bool = False,
    predicts: Predicts | None = None,
) -> BaseModel:
    """Read a base model.

    Args:
        path_or_name: a single .safetensors file (SD 1.5 or SDXL with VAE and text encoders, the mannequin model), a
            diffusers folder of SD 1.5 or SDXL, or such a repository's name on the hub, `owner/name`.
        device: where its networks go.
        dtype: of its weights; None: half precision on a GPU, single elsewhere.
        config: for a single file of unusual sizes: a diffusers folder whose configurations describe it.
        allow_download: whether a hub's name may be fetched; without, it is read where it was fetched before.
        predicts: "noise" or "velocity", for an SD checkpoint that does not say itself what it predicts.

    Raises:
        BaseModelError: there is no such model, or none that can be used; its text is one sentence.
    """
    device = torch.device(device)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    path = Path(path_or_name)
    if path.is_file():
        return _from_file(path, device, dtype, config, predicts)
    if not path.is_dir():
        path = folder.fetched(str(path_or_name), allow_download)
    family = folder.family_of(path)
    return _on(device, dtype, family, folder.read(path, family, dtype, predicts))


def fingerprint(path: Path) -> str:
    """What tells a model's file or folder from others without reading all of it: names, sizes, both ends of weights.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(LOOKED_AT))
            opened.seek(max(0, size - LOOKED_AT))
            digest.update(opened.read(LOOKED_AT))
    return digest.hexdigest()


def _from_file(
    path: Path, device: torch.device, dtype: torch.dtype, config: Path | None, predicts: Predicts | None
) -> BaseModel:
    header = read_header(path)
    family = family_of(path, header)
    if family == "mannequin":
        return Mannequin.read(path, device, dtype)
    shapes = described_by(config) if config else {"SD 1.5": SD15, "SDXL": SDXL}[family]
    return _on(device, dtype, family, single_file.read(path, header, family, shapes, dtype, predicts))


def _on(device: torch.device, dtype: torch.dtype, family: Family, networks: Networks) -> BaseModel:
    kinds = {"SD 1.5": StableDiffusion, "SDXL": StableDiffusionXL}
    return kinds[family](networks, device, dtype)
