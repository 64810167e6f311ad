"""Load Hand Discriminator: a critic's file from `models/hand_discriminators`."""

import hashlib
import json
from pathlib import Path

import comfy.model_management
import folder_paths
from comfy_api.latest import io

from ..fairhands.critic import file
from ..fairhands.critic.summary import readable
from .connections import CATEGORY, HandDiscriminator
from .model_folders import HAND_DISCRIMINATORS
from .node_text import shown_text
from .whole_model import WholeModelPatcher


class LoadHandDiscriminator(io.ComfyNode):
    """File name -> HAND_DISCRIMINATOR."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsLoadHandDiscriminator",
            display_name="Load Hand Discriminator",
            category=CATEGORY,
            description="Loads a hand discriminator, the critic that tells right hands from malformed ones.",
            inputs=[
                io.Combo.Input(
                    "discriminator",
                    options=folder_paths.get_filename_list(HAND_DISCRIMINATORS),
                    tooltip="A file in models/hand_discriminators/, made by `python -m trainers.discriminator`.",
                ),
            ],
            outputs=[
                HandDiscriminator.Output(
                    "DISCRIMINATOR",
                    display_name="discriminator",
                    tooltip="For Hand Visual Guidance, the Hand-Guided KSamplers and Hand Score.",
                ),
                io.String.Output("SUMMARY", display_name="summary", tooltip="How it was trained, as JSON."),
            ],
        )

    @classmethod
    def validate_inputs(cls, discriminator: str) -> bool | str:
        """Say what is missing, and where it belongs, before anything runs."""
        if folder_paths.get_full_path(HAND_DISCRIMINATORS, discriminator) is not None:
            return True
        known = folder_paths.get_filename_list(HAND_DISCRIMINATORS)
        return (
            f"{discriminator or 'The file'} is not in models/hand_discriminators/ "
            f"(there: {', '.join(known) or 'nothing'}). Put a discriminator's file there, or make one with "
            "`python -m trainers.discriminator`, and press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, discriminator: str) -> str:
        """The hash of the file, so that a replaced file is loaded again."""
        return hashlib.sha256(_file(discriminator).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, discriminator: str) -> io.NodeOutput:
        """Load the file; the critic is managed in memory as ComfyUI's own models are.

        Raises:
            CriticFileError: it is not such a file, or one that this version cannot use.
        """
        path = _file(discriminator)
        critic, summary = file.load(path)
        patcher = WholeModelPatcher(
            critic,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
        text = readable(critic.config, summary, file.describe(path).licence)
        return io.NodeOutput(patcher, json.dumps(summary, indent=2), ui=shown_text(text))


def _file(discriminator: str) -> Path:
    return Path(folder_paths.get_full_path_or_raise(HAND_DISCRIMINATORS, discriminator))
