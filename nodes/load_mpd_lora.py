"""Load MPD LoRA: a LoRA that was trained for the whole picture, faces and hands at once."""

import os
from pathlib import Path

import comfy.model_patcher
import comfy.sd
import comfy.utils
import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ..fairhands.adapters.description import LORA, Description, read_description
from .base_family import MODELS, base_family
from .connections import CATEGORY
from .lora_loading import LoadedLora, load_lora
from .node_text import shown_text

FOLDER = "loras"
SOURCE = "choose another file of models/loras/, or train one with `python -m trainers.mpd_lora`"
NAMED = 3


class LoadMPDLora(io.ComfyNode):
    """MODEL and CLIP -> both with a LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsLoadMPDLoRA",
            display_name="Load MPD LoRA",
            category=CATEGORY,
            description=(
                "Loads a LoRA that was trained fairly for the whole picture, faces and hands at once (Minimum "
                "Potential Delay), and shows what it is. Refuses one that was made for another base model. Other LoRAs "
                "load too."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that the LoRA changes."),
                io.Combo.Input(
                    "lora_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="A file in models/loras/, made by `python -m trainers.mpd_lora`.",
                ),
                _strength("strength_model", "How strongly the model is changed; below 0 goes the other way, 0 is off."),
                _strength(
                    "strength_clip", "The same of the text encoders, where the file changes them and clip is given."
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Needed only where the LoRA changes the text encoders too."
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", display_name="model", tooltip="The model with the LoRA."),
                io.Clip.Output("CLIP", display_name="clip", tooltip="The clip with the LoRA, for the prompts."),
                io.String.Output("REPORT", display_name="report", tooltip="What the node shows, as text."),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora_name: str | None) -> bool | str:
        """Say what is missing, and where it belongs, before anything runs."""
        if lora_name is None or folder_paths.get_full_path(FOLDER, lora_name) is not None:
            return True
        return (
            f"lora_name is {lora_name!r}, which is not in models/loras/: put the file there, or train one with "
            "`python -m trainers.mpd_lora`, and press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None, **_: object) -> str:
        """The file, so that a replaced one is loaded again."""
        file = None if lora_name is None else folder_paths.get_full_path(FOLDER, lora_name)
        return "" if file is None else f"{file} {os.path.getmtime(file)}"

    @classmethod
    def execute(
        cls,
        model: comfy.model_patcher.ModelPatcher,
        lora_name: str,
        strength_model: float,
        strength_clip: float,
        clip: comfy.sd.CLIP | None = None,
    ) -> io.NodeOutput:
        """Patch clones of model and clip; a part of strength 0 is given on as it is.

        Raises:
            AdapterFileError: the file is no LoRA.
            ValueError: it is for another base model.
        """
        path = Path(folder_paths.get_full_path_or_raise(FOLDER, lora_name))
        description = read_description(path, (LORA,), SOURCE)
        lines = description.lines()
        if strength_model or strength_clip:
            family = base_family(model)
            _require_base(path.name, description, family)
            tensors: dict[str, Tensor] = comfy.utils.load_torch_file(str(path), safe_load=True)  # pyright: ignore
            loaded = load_lora(model, clip, tensors, strength_model, strength_clip)
            _require_use(path.name, loaded, description, family)
            lines += _account(loaded)
            model = loaded.model if strength_model else model
            clip = loaded.clip if strength_clip else clip
        else:
            lines.append("used: nothing, both strengths are 0")
        text = "\n".join(lines)
        return io.NodeOutput(model, clip, text, ui=shown_text(text))


def _strength(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=1.0, min=-100.0, max=100.0, step=0.01, tooltip=tooltip)


def _require_base(name: str, description: Description, family: str) -> None:
    """Raises ValueError where the file says that it is for another base model."""
    made_for = description.family
    if made_for is not None and made_for != family:
        raise ValueError(
            f"{name} was made for {_called(made_for)}, but the MODEL is {_called(family)}: connect {MODELS[made_for]}, "
            f"or choose a LoRA that was made for {_called(family)}."
        )


def _require_use(name: str, loaded: LoadedLora, description: Description, family: str) -> None:
    """Raises ValueError where nothing of the file is used."""
    if loaded.layers or loaded.encoder_layers:
        return
    if loaded.left_out:
        raise ValueError(f"{name} changes text encoders alone: connect clip.")
    raise ValueError(
        f"{name} is {description.kind} of which nothing fits the MODEL, {_called(family)} ({_named(loaded.unused)}): "
        f"choose a LoRA that was made for {_called(family)}."
    )


def _account(loaded: LoadedLora) -> list[str]:
    """What of the file is used, and what is not."""
    encoders = f", {loaded.encoder_layers} of the text encoders" if loaded.encoder_layers else ""
    lines = [f"used: {loaded.layers} layers of the model{encoders}"]
    if loaded.left_out:
        lines.append(f"not used: {loaded.left_out} layers of the text encoders; connect clip to use them")
    if loaded.unused:
        lines.append(f"not used: {len(loaded.unused)} keys that do not fit this MODEL: {_named(loaded.unused)}")
    return lines


def _called(family: str) -> str:
    return MODELS[family] if family == "mannequin" else family


def _named(keys: list[str]) -> str:
    return ", ".join([*keys[:NAMED], *(["..."] if len(keys) > NAMED else [])])
