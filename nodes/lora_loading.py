"""A LoRA put into MODEL and CLIP by ComfyUI's own loader, with an account of what of it was used."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import comfy.lora_convert
import comfy.model_patcher
import comfy.sd
from torch import Tensor, nn

from .lora_patches import TEXT_ENCODER, Patch, ReadTensors


@dataclass(frozen=True)
class LoadedLora:
    """A LoRA that was loaded.

    model, clip: clones with its patches; clip is None where none was given.
    layers: how many of its layers the model has.
    encoder_layers: how many the text encoders have.
    left_out: how many layers of text encoders it has, for which no CLIP was given.
    unused: its tensors that match nothing, and weights that a layer of it does not fit, with why.
    """

    model: comfy.model_patcher.ModelPatcher
    clip: comfy.sd.CLIP | None
    layers: int
    encoder_layers: int
    left_out: int
    unused: list[str]


def load_lora(
    model: comfy.model_patcher.ModelPatcher,
    clip: comfy.sd.CLIP | None,
    tensors: dict[str, Tensor],
    strength_model: float,
    strength_clip: float,
) -> LoadedLora:
    """Load any file that ComfyUI's loader knows; the shapes of plain LoRAs are compared with the weights'."""
    file = ReadTensors(comfy.lora_convert.convert_lora(tensors))
    patched, patched_clip = cast(
        tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP | None],
        comfy.sd.load_lora_for_models(model, clip, file, strength_model, strength_clip),
    )
    fitting, unused = _sorted_out(model, patched)
    encoders: list[str] = []
    if clip is not None and patched_clip is not None:
        encoders, misfits = _sorted_out(clip.patcher, patched_clip.patcher)
        unused += misfits
    unread = [key for key in file if key not in file.read]
    left_out = [key for key in unread if clip is None and key.startswith(TEXT_ENCODER)]
    unused += [key for key in unread if key not in left_out]
    count = len({key.partition(".lora_")[0].removesuffix(".alpha") for key in left_out})
    return LoadedLora(patched, patched_clip, len(fitting), len(encoders), count, unused)


def _sorted_out(
    before: comfy.model_patcher.ModelPatcher, after: comfy.model_patcher.ModelPatcher
) -> tuple[list[str], list[str]]:
    """Weights that got a patch which fits, and those that got one which does not, with why."""
    fitting, misfits = [], []
    for key, patch in _added(before, after):
        reason = _misfit(before.model, key, patch)
        if reason is None:
            fitting.append(key)
        else:
            misfits.append(f"{key} ({reason})")
    return fitting, misfits


def _added(
    before: comfy.model_patcher.ModelPatcher, after: comfy.model_patcher.ModelPatcher
) -> Iterator[tuple[str, Patch]]:
    for key, patches in after.patches.items():
        for _, value, _, offset, function in patches[len(before.patches.get(key, ())) :]:
            yield key, Patch(value, offset, function)


def _misfit(network: nn.Module, key: str, patch: Patch) -> str | None:
    """Why a plain LoRA does not fit its layer: ComfyUI would leave it out with a line in the log."""
    if not patch.is_low_rank:
        return None
    try:
        patch.low_rank().fitted(network.get_submodule(key.rpartition(".")[0]))
    except (ValueError, AttributeError) as error:
        return str(error)
    return None
