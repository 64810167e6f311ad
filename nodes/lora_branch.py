"""A LoRA file as branches beside the model's layers, with ComfyUI's own key maps and adapters."""

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from comfy.patcher_extension import CallbacksMP, PatcherInjection, WrappersMP
from torch import Tensor

from ..fairhands.guidance.low_rank import (
    BiasDifference,
    Branch,
    LowRank,
    LowRankBranches,
    WeightDifference,
    is_convolution,
    weight_shape,
)
from .lora_patches import TEXT_ENCODER, Patch, ReadTensors

# What calc_cond_batch is: (model, conds, x, sigma, model_options) -> an estimate for each cond.
CalculateConds = Callable[[Any, list[Any], Tensor, Tensor, dict[str, Any]], list[Tensor]]

PLAIN_CONDS = "fairhands_plain_conds"
"""In transformer_options: how many of the conds run without the branches; those after them run with."""
_INDICES = "fairhands_cond_indices"

_NETWORK = "diffusion_model."
_NAMED_IN_LOG = 20
_KINDS = {
    "a LoRA of another model": (".lora_", "_lora.", ".hada_", ".lokr_", ".oft_"),
    "a checkpoint": ("model.diffusion_model.",),
    "a ControlNet": ("control_model.", "controlnet_"),
    "a VAE": ("first_stage_model.", "decoder."),
    "an embedding": ("emb_params",),
}


@dataclass
class HandLora:
    """A LoRA, read for one model.

    branches: for `model.model.diffusion_model`.
    clip: the CLIP with the file's part for text encoders; None where there is none.
    layers: how many layers of the network have a branch.
    ranks: the ranks of the low-rank branches, each once, in order.
    unmatched: tensors of the file that match nothing, and weights of the model that no branch can change, with why.
    """

    branches: LowRankBranches
    clip: comfy.sd.CLIP | None
    layers: int
    ranks: tuple[int, ...]
    unmatched: list[str]


def read_hand_lora(
    model: comfy.model_patcher.ModelPatcher, clip: comfy.sd.CLIP | None, tensors: dict[str, Tensor]
) -> HandLora:
    """Read any file that ComfyUI's LoRA loader knows.

    Plain LoRAs become low-rank branches. LoHa, LoKr, DoRA and the like become differences of whole weights, which
    ComfyUI's own adapters compute once, on top of the patches that the model has now. Without a CLIP the tensors of
    text encoders are passed over. What matches nothing is named in a warning.

    Raises ValueError where the file holds nothing for this model.
    """
    file = ReadTensors(comfy.lora_convert.convert_lora(tensors))
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    if clip is not None:
        names = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, names)
    patches = comfy.lora.load_lora(file, names, log_missing=False)
    unmatched = [key for key in file if key not in file.read and (clip or not key.startswith(TEXT_ENCODER))]
    patched_clip, encoders = _patched_clip(clip, patches)
    reader = _BranchReader(model)
    reader.read({target: patch for target, patch in patches.items() if target not in encoders})
    unmatched += reader.unmatched
    if not reader.branches and patched_clip is None:
        raise ValueError(
            f"the file holds {_kind(tensors)}, expected a LoRA for this model ({type(model.model).__name__}): "
            f"none of its {len(tensors)} tensors fits ({', '.join(unmatched[:3])})."
        )
    if unmatched:
        named = [*unmatched[:_NAMED_IN_LOG], *(["..."] if len(unmatched) > _NAMED_IN_LOG else [])]
        logging.warning("FairHands: %d keys of the hand LoRA match nothing: %s", len(unmatched), ", ".join(named))
    branches = LowRankBranches(reader.branches)
    return HandLora(branches, patched_clip, len(reader.branches), tuple(sorted(reader.ranks)), unmatched)


def attach_lora_branch(model: comfy.model_patcher.ModelPatcher, key: str, branches: LowRankBranches) -> None:
    """Have the branches on the model's layers while it samples; they act in `predict_with_lora` alone.

    `model` is a clone of the caller's own; its underlying network is shared with other clones, so the hooks come off
    when a run ends, not only when ComfyUI unloads the model (a dead clone is never ejected). Every load puts them
    back.
    """
    attach = PatcherInjection(
        inject=lambda patcher: branches.attach(patcher.model.diffusion_model), eject=lambda _: branches.detach()
    )
    model.set_injections(key, [attach])
    model.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, lambda _: branches.detach())
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, key, branch_rows(branches))


def branch_rows(branches: LowRankBranches) -> Callable[..., Tensor]:
    """An APPLY_MODEL wrapper: the rows of conds from PLAIN_CONDS on run with the branches.

    Other extensions look conds up by index, 0 for the positive and 1 for the negative one; they see those.
    """

    def apply(
        executor: Callable[..., Tensor],
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Tensor:
        options = dict(transformer_options or {})
        plain = options.get(PLAIN_CONDS)
        if plain is None:
            return executor(x, t, c_concat, c_crossattn, control, options, **others)
        # Kept for the wrapper of a second adapter, which comes after this one.
        indices: list[int] = options.setdefault(_INDICES, options["cond_or_uncond"])
        chunk, rest = divmod(len(x), len(indices))
        if rest:
            raise ValueError(f"the batch has {len(x)} rows, expected a multiple of its {len(indices)} conds.")
        rows = torch.tensor([float(index >= plain) for index in indices]).repeat_interleave(chunk)
        options["cond_or_uncond"] = [index - plain if index >= plain else index for index in indices]
        with branches.on(rows):
            return executor(x, t, c_concat, c_crossattn, control, options, **others)

    return apply


def predict_with_lora(
    calculate: CalculateConds,
    model: Any,
    conds: list[Any],
    lora_conds: list[Any],
    x: Tensor,
    sigma: Tensor,
    model_options: dict[str, Any],
) -> tuple[list[Tensor], list[Tensor]]:
    """Denoised estimates `[B, C, h, w]`: of `conds` without the branches, and of `lora_conds` with them.

    calculate: `comfy.samplers.calc_cond_batch`, or what a wrapper of it has to call.
    model: the network as samplers get it, of a patcher that went through `attach_lora_branch`.
    conds, lora_conds: as `calc_cond_batch` takes them; None stays None, its estimate is zero.
    x: the sampler's. Where it needs a gradient, only the estimates without the branches have one; the others stay
        out of the batch that is differentiated. Else one batch holds them all.
    """
    options = comfy.model_patcher.create_model_options_clone(model_options)
    marks = options.setdefault("transformer_options", {})
    again = [_another_cond(cond) for cond in lora_conds]
    if x.requires_grad:
        plain = calculate(model, conds, x, sigma, model_options)
        marks[PLAIN_CONDS] = 0
        with torch.no_grad():
            return plain, calculate(model, again, x.detach(), sigma, options)
    marks[PLAIN_CONDS] = len(conds)
    estimates = calculate(model, [*conds, *again], x, sigma, options)
    return estimates[: len(conds)], estimates[len(conds) :]


def _another_cond(cond: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The cond under another id, steady over the steps: caches between steps keep estimates by it."""
    if cond is None:
        return None
    return [entry | {"uuid": uuid.uuid5(entry["uuid"], PLAIN_CONDS)} for entry in cond]


class _BranchReader:
    """Turns ComfyUI's patches of a model's weights into branches."""

    def __init__(self, model: comfy.model_patcher.ModelPatcher):
        self.model = model
        self.branches: dict[str, list[Branch]] = {}
        self.ranks: set[int] = set()
        self.unmatched: list[str] = []
        self._weights: dict[str, list[Any]] | None = None

    def read(self, patches: Mapping[Any, Any]) -> None:
        """Patches as `comfy.lora.load_lora` gives them."""
        by_key: dict[str, list[Patch]] = {}
        for target, value in patches.items():
            key, *how = target if isinstance(target, tuple) else (target,)
            by_key.setdefault(key, []).append(Patch(value, *how))
        dense: set[str] = set()
        for key, several in by_key.items():
            rest = [patch for patch in several if not patch.is_low_rank]
            dense.update(patch.kind for patch in rest)
            for group in [*([patch] for patch in several if patch.is_low_rank), *([rest] if rest else [])]:
                try:
                    self._add(key, group)
                except ValueError as error:
                    self.unmatched.append(f"{key} ({error})")
        if dense:
            logging.info("FairHands: the hand LoRA holds differences of whole weights: %s", ", ".join(sorted(dense)))

    def _add(self, key: str, patches: list[Patch]) -> None:
        """One branch: of a low-rank patch, or of all others of the weight. Raises ValueError where none can be."""
        path, _, kind = key.removeprefix(_NETWORK).rpartition(".")
        layer = self._layer(path)
        shape = weight_shape(layer)
        if kind not in ("weight", "bias") or getattr(layer, kind, None) is None:
            raise ValueError("it is neither weight nor bias of a layer")
        if patches[0].is_low_rank and not (is_convolution(layer) and shape[1] != layer.in_channels):
            branch: Branch = patches[0].low_rank()
        else:
            difference = self._difference(key, patches)
            branch = WeightDifference(difference) if kind == "weight" else BiasDifference(difference)
        branch = branch.fitted(layer)
        if isinstance(branch, LowRank):
            self.ranks.add(len(branch.down))
        self.branches.setdefault(path, []).append(branch)

    def _layer(self, path: str) -> Any:
        try:
            return self.model.model.diffusion_model.get_submodule(path)
        except AttributeError as error:
            raise ValueError("the model has no such layer") from error

    def _difference(self, key: str, patches: list[Patch]) -> Tensor:
        """What ComfyUI's adapters make of the weight, less the weight; in the dtype that the model computes in."""
        if self._weights is None:
            self._weights = self.model.get_key_patches(_NETWORK)
        (weight, convert), *present = self._weights[key]
        weight = comfy.model_management.cast_to_device(weight, self.model.load_device, torch.float32, copy=True)
        weight = comfy.lora.calculate_weight(present, convert(weight, inplace=True), key)
        entries = [(1.0, patch.value, 1.0, patch.offset, patch.function) for patch in patches]
        changed = comfy.lora.calculate_weight(entries, weight.clone(), key)
        if changed.shape != weight.shape:
            raise ValueError(f"it makes {list(changed.shape)} of {list(weight.shape)}")
        if torch.equal(changed, weight):
            raise ValueError("it changes nothing: it is zero, or of another model's shape")
        return (changed - weight).to("cpu", _compute_dtype(self.model))


def _compute_dtype(model: comfy.model_patcher.ModelPatcher) -> torch.dtype:
    """What the network's layers get as input, whatever their weights are stored in."""
    cast: Any = model.get_model_object("manual_cast_dtype")
    return cast or model.model_dtype() or torch.float32


def _patched_clip(clip: comfy.sd.CLIP | None, patches: Mapping[Any, Any]) -> tuple[comfy.sd.CLIP | None, set[Any]]:
    """A clone of the CLIP with its part of the patches, and which those are."""
    patched = clip.clone() if clip else None
    own = set(patched.add_patches(patches, 1.0)) if patched else set()
    return patched if own else None, own


def _kind(keys: Mapping[str, Tensor]) -> str:
    """What a file seems to be, by the names of its tensors."""
    return next((kind for kind, marks in _KINDS.items() if any(m in key for key in keys for m in marks)), "no LoRA")
