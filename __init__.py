"""FairHands: better hands in ComfyUI. What ComfyUI loads of the pack."""

from .nodes import FairHandsExtension, register_model_folders

WEB_DIRECTORY = "./web"

register_model_folders()


async def comfy_entrypoint() -> FairHandsExtension:
    """The pack's nodes, for ComfyUI."""
    return FairHandsExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
