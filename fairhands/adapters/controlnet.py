"""ControlNet (arXiv 2302.05543): a copy of the U-Net's encoder that reads a further picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from accelerate import init_empty_weights
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from ..base_models import Added, BaseModel, Text
from ..base_models.stable_diffusion import timesteps
from .control import Control, unet_of

if TYPE_CHECKING:
    from typing_extensions import Self


class ControlNet(Control):
    """A ControlNet beside a base."""

    kind = "fairhands controlnet"
    title = "ControlNet"
    architecture = "controlnet"

    @classmethod
    def new(cls, base: BaseModel) -> Self:
        """One that begins as a copy of the base's encoder and adds nothing, through convolutions of zeros.

        What first reads the picture is drawn from torch's global generator. The base is not in 8 bits yet.

        Raises:
            ValueError: the base has no U-Net.
        """
        return cls(base, ControlNetModel.from_unet(unet_of(base, cls.title)))

    @classmethod
    def empty(cls, base: BaseModel) -> ControlNetModel:
        unet = unet_of(base, cls.title)
        with init_empty_weights():
            return ControlNetModel.from_unet(unet, load_weights_from_unet=False)

    def added(self, noised: Tensor, times: Tensor, text: Text, conditioning: Tensor) -> Added:
        skips, middle = self.network(
            noised.float(),
            timesteps(times),
            encoder_hidden_states=text.states.float(),
            controlnet_cond=conditioning.float(),
            added_cond_kwargs=self.base.conditions(text),
            return_dict=False,
        )
        return Added(skips=tuple(skips), middle=middle)

    def use_checkpointing(self, enabled: bool = True) -> None:
        for network in (cast(ControlNetModel, self.network), unet_of(self.base, self.title)):
            if enabled:
                network.enable_gradient_checkpointing()
            else:
                network.disable_gradient_checkpointing()
