"""A model that is moved to a device whole or not at all."""

from typing import Any

import comfy.model_patcher


class WholeModelPatcher(comfy.model_patcher.ModelPatcher):
    """ComfyUI's model patcher for a network of plain PyTorch layers.

    Where memory is short, ComfyUI leaves some layers on the processor, which its own layers notice and plain ones do
    not; and it moves no parameter of a module that has modules in it, such as a vision transformer's CLS token.
    """

    def load(
        self,
        device_to: Any = None,
        lowvram_model_memory: int = 0,
        force_patch_weights: bool = False,
        full_load: bool = False,
    ) -> None:
        """Move all of it, however little memory is left."""
        super().load(device_to, 0, force_patch_weights, full_load=True)
