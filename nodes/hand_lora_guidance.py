"""Hand LoRA Guidance: a MODEL that is moved by what a hand LoRA would change, inside the hands' mask."""

import os
from typing import Any, get_args

import comfy.model_patcher
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io

from ..fairhands.guidance.schedule import Curve, Schedule
from ..fairhands.guidance.textual import AppliesTo, TextualSettings
from .connections import CATEGORY
from .decoding import CHOICES, decoder_files
from .detector import download_input, hand_detector, threshold_input
from .guidance_inputs import (
    CURVES,
    UNITS,
    decoder_input,
    mask_part,
    patched_outputs,
    refuse_unknown,
    require_mask,
    schedule_inputs,
    start_mask_input,
    strength_input,
    window_inputs,
    with_start,
)
from .guidance_patch import guided
from .guidance_plan import TextualPart, WindowInput, changed, plan_of
from .lora_branch import HandLora, read_hand_lora

APPLIES_TO: list[str] = list(get_args(AppliesTo))


class HandLoraGuidance(io.ComfyNode):
    """MODEL -> MODEL with textual guidance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandLoraGuidance",
            display_name="Hand LoRA Guidance",
            category=CATEGORY,
            description=(
                "Adds what a hand LoRA would change, inside the mask of the hands and nowhere else. Any LoRA works; "
                "its weights are never merged into the model."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model to guide; Hand Visual Guidance may come before."),
                io.Combo.Input(
                    "lora_name", options=folder_paths.get_filename_list("loras"), tooltip="A file in models/loras/."
                ),
                strength_input(
                    "v", "Strength of the LoRA's difference. 0 is off; below 0 goes the other way; try 1 to 4."
                ),
                *window_inputs("LoRA guidance"),
                *schedule_inputs("constant"),
                io.Combo.Input(
                    "applies_to",
                    options=APPLIES_TO,
                    default="cond",
                    tooltip="cond: the difference in the prediction of the prompt. both: that after CFG, as if the "
                    "LoRA was loaded; it takes longer and wants a smaller v.",
                ),
                decoder_input(),
                threshold_input("detection_threshold", 0.5),
                download_input(),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Decodes the estimates in which hands are looked for. Not needed behind Hand Visual "
                    "Guidance, whose mask is used.",
                ),
                start_mask_input(),
                io.Clip.Input(
                    "clip", optional=True, tooltip="With it, and a prompt, the LoRA's text encoder keys are used too."
                ),
                io.String.Input(
                    "prompt",
                    optional=True,
                    multiline=True,
                    default="",
                    tooltip="The prompt of the prediction with the LoRA, encoded by clip with the LoRA. Empty: the "
                    "sampler's own positive prompt, as it was encoded.",
                ),
            ],
            outputs=[
                *patched_outputs(),
                io.String.Output("REPORT", display_name="report", tooltip="What of the LoRA's file was used."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, lora_name: str | None, schedule: str, applies_to: str, window_in: str, decoder: str
    ) -> bool | str:
        """Say what is missing before anything runs."""
        if lora_name is not None and folder_paths.get_full_path("loras", lora_name) is None:
            return (
                f"lora_name is {lora_name!r}, which is not in models/loras/: put the file there, or train one with "
                "`python -m trainers.hand_lora`, and press R to refresh."
            )
        return refuse_unknown(
            schedule=(schedule, CURVES),
            applies_to=(applies_to, APPLIES_TO),
            window_in=(window_in, UNITS),
            decoder=(decoder, CHOICES),
        )

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None, **_: object) -> str:
        """The files that are read: once they change, the node runs again."""
        file = None if lora_name is None else folder_paths.get_full_path("loras", lora_name)
        return decoder_files() if file is None else f"{decoder_files()}, {file} {os.path.getmtime(file)}"

    @classmethod
    def execute(
        cls,
        model: comfy.model_patcher.ModelPatcher,
        lora_name: str,
        v: float,
        first_timestep: float,
        last_timestep: float,
        window_in: str,
        schedule: Curve,
        every: int,
        applies_to: AppliesTo,
        decoder: str,
        detection_threshold: float,
        download_missing: bool,
        vae: comfy.sd.VAE | None = None,
        start_mask: torch.Tensor | None = None,
        clip: comfy.sd.CLIP | None = None,
        prompt: str = "",
    ) -> io.NodeOutput:
        """Patch a clone of the model."""
        if plan_of(model).textual is not None:
            raise ValueError(
                "model already has Hand LoRA Guidance: merge the two LoRAs, or load one of "
                "them with ComfyUI's LoRA loader."
            )
        file = folder_paths.get_full_path_or_raise("loras", lora_name)
        tensors: dict[str, torch.Tensor] = comfy.utils.load_torch_file(file, safe_load=True)  # pyright: ignore
        lora = read_hand_lora(model, clip, tensors)
        settings = TextualSettings(v, Schedule(curve=schedule, every=every), applies_to)
        window = WindowInput(first_timestep, last_timestep, window_in)
        mask = plan_of(model).mask
        if mask is not None:
            mask = with_start(mask, start_mask)
        elif vae is not None:
            mask = mask_part(model, vae, decoder, hand_detector(download_missing, detection_threshold), start_mask)
        part = TextualPart(lora, lora_name, settings, window, _encoded(lora.clip or clip, prompt))
        plan = changed(model, mask=mask, textual=part)
        require_mask(plan)
        return io.NodeOutput(guided(model, plan), plan.trace, _report(lora, lora_name))


def _encoded(clip: comfy.sd.CLIP | None, prompt: str) -> list[Any] | None:
    """The prompt for the prediction with the LoRA; None for the sampler's own."""
    if not prompt.strip():
        return None
    if clip is None:
        raise ValueError("prompt is given, but clip is not connected: connect the model's clip, or empty the prompt.")
    return clip.encode_from_tokens_scheduled(clip.tokenize(prompt))


def _report(lora: HandLora, name: str) -> str:
    lines = [f"{name}: {lora.layers} layers are used."]
    if lora.unmatched:
        lines.append(f"{len(lora.unmatched)} keys match nothing in this model: {', '.join(lora.unmatched)}")
    return "\n".join(lines)
