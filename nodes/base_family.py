"""Which base model a MODEL is, by the names that FairHands' files use."""

import comfy.model_patcher
import comfy.supported_models

from ..fairhands.mannequin_world.prompts import PROMPT_SIZE

MODELS = {"SD 1.5": "an SD 1.5 checkpoint", "SDXL": "an SDXL checkpoint", "mannequin": "the mannequin model"}
"""The families that FairHands trains for, and what of each to connect."""
_NAMES = {"SD20": "SD 2", "SDXLRefiner": "SDXL's refiner"}


def base_family(model: comfy.model_patcher.ModelPatcher) -> str:
    """One of MODELS, or ComfyUI's own name of another."""
    config = model.model.model_config
    if isinstance(config, comfy.supported_models.SDXL):
        return "SDXL"
    if isinstance(config, comfy.supported_models.SD15):
        return "SD 1.5"
    prompt_size = config.unet_config.get("adm_in_channels")
    if isinstance(config, comfy.supported_models.SD3) and prompt_size == PROMPT_SIZE:
        return "mannequin"
    name = type(config).__name__
    return _NAMES.get(name, name)
