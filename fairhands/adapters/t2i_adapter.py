"""T2I-Adapter (arXiv 2302.08453): a small network whose features of a picture are added in the U-Net's encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelerate import init_empty_weights
from diffusers.models.adapter import T2IAdapter as T2IAdapterModel
from torch import Tensor

from ..base_models import Added, BaseModel, Text
from .control import Control, unet_of

if TYPE_CHECKING:
    from typing_extensions import Self

XL_LEVELS = (2, 3)


class T2IAdapter(Control):
    """A T2I-Adapter beside a base. Its features depend on the picture alone, not on noise, time or text."""

    kind = "fairhands t2i adapter"
    title = "T2I-Adapter"
    architecture = "t2i-adapter"

    @classmethod
    def new(cls, base: BaseModel) -> Self:
        return cls(base, T2IAdapterModel(**shape(base)))

    @classmethod
    def empty(cls, base: BaseModel) -> T2IAdapterModel:
        wanted = shape(base)
        with init_empty_weights():
            return T2IAdapterModel(**wanted)

    def added(self, noised: Tensor, times: Tensor, text: Text, conditioning: Tensor) -> Added:
        return Added(features=tuple(self.network(conditioning.float())))

    def use_checkpointing(self, enabled: bool = True) -> None:
        """Of the U-Net alone: the adapter is small."""
        unet = unet_of(self.base, self.title)
        if enabled:
            unet.enable_gradient_checkpointing()
        else:
            unet.disable_gradient_checkpointing()


def shape(base: BaseModel) -> dict[str, Any]:
    """diffusers' configuration of the adapter that goes with the base.

    SDXL's U-Net adds the features of its first block after that has halved the picture, so its adapter begins at a
    sixteenth of the picture's size and has one more block, for the U-Net's middle.

    Raises:
        ValueError: there is none.
    """
    levels = tuple(unet_of(base, T2IAdapter.title).config["block_out_channels"])
    if base.family != "SDXL":
        return {"channels": levels, "downscale_factor": 8, "adapter_type": "full_adapter"}
    if len(levels) not in XL_LEVELS:
        raise ValueError(f"A T2I-Adapter goes with an SDXL U-Net of 3 levels, found {len(levels)}.")
    # The adapter halves its features at the third block alone, so that fewer levels leave none for the middle.
    channels = (*levels, levels[-1]) if len(levels) == max(XL_LEVELS) else levels
    return {"channels": channels, "downscale_factor": 16, "adapter_type": "full_adapter_xl"}
