"""Networks that are shown a picture, such as a pose, and add to what a frozen base model's U-Net computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ..base_models import Added, BaseModel, Text
from ..base_models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from typing_extensions import Self


class Control(nn.Module, ABC):
    """A ControlNet or T2I-Adapter beside a frozen base, to be trained by itself.

    The module holds the network alone, float32 and trainable; the base is neither copied nor changed.

    Args:
        base: what it adds to.
        network: diffusers' network, which is taken over and moved to the base's device.

    Raises:
        ValueError: the base has no U-Net to add to.
    """

    kind: ClassVar[str]
    """What its files say that they are."""
    title: ClassVar[str]
    """Its name for people."""
    architecture: ClassVar[str]
    """What Stability's model specification calls it."""

    def __init__(self, base: BaseModel, network: ModelMixin) -> None:
        super().__init__()
        self.base = with_unet(base, self.title)
        # diffusers' own `to` warns of modules to be kept in float32, of which these networks have none.
        self.network = nn.Module.to(network, base.device, torch.float32).requires_grad_(True)

    @classmethod
    @abstractmethod
    def new(cls, base: BaseModel) -> Self:
        """A new one for the base, on its device; what of it is drawn comes from torch's global generator.

        Raises:
            ValueError: the base has no U-Net, or one that such a network does not go with.
        """

    @classmethod
    @abstractmethod
    def empty(cls, base: BaseModel) -> ModelMixin:
        """The network that `new` makes, without values for its weights; raises as `new`."""

    @abstractmethod
    def added(self, noised: Tensor, times: Tensor, text: Text, conditioning: Tensor) -> Added:
        """What it adds to the base's prediction of these; arguments as for `predict`."""

    @abstractmethod
    def use_checkpointing(self, enabled: bool = True) -> None:
        """Have the networks forget what is between their blocks and compute it again for the gradient, or not."""

    def predict(self, noised: Tensor, times: Tensor, text: Text, conditioning: Tensor) -> Tensor:
        """The base's prediction with what this network adds to it.

        Args:
            noised: latents with noise, [N, latent_channels, h, w].
            times: of each, [N] in 0..1.
            text: a prompt for each.
            conditioning: what is shown, [N, 3, 8 h, 8 w] in 0..1; fewer pictures of which N is a multiple are shown
                in turn, as classifier-free guidance asks for the same ones twice.

        Raises:
            ValueError: the pictures have not the latents' size.
        """
        count, cells = len(noised), self.base.cells
        wanted = [3, *(cells * side for side in noised.shape[-2:])]
        if count % len(conditioning) or list(conditioning.shape[1:]) != wanted:
            raise ValueError(
                f"conditioning should be {[count, *wanted]} for these latents, found {list(conditioning.shape)}"
            )
        shown = conditioning.repeat(count // len(conditioning), 1, 1, 1)
        return self.base.predict(noised, times, text, self.added(noised, times, text, shown))


def with_unet(base: BaseModel, title: str) -> StableDiffusion:
    """The base, as one of those with a U-Net.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(base, StableDiffusion):
        raise ValueError(f"A {title} needs a base of SD 1.5 or SDXL, found the {base.family} model.")
    return base


def unet_of(base: BaseModel, title: str) -> UNet2DConditionModel:
    """The base's U-Net.

    Raises:
        ValueError: it has none.
    """
    return cast(UNet2DConditionModel, with_unet(base, title).denoiser)


def dropped(conditioning: Tensor, share: float) -> Tensor:
    """The pictures [N, 3, H, W], each black with that probability, drawn from torch's global generator.

    A network that is trained so learns to leave the base alone where it is shown nothing.
    """
    black = torch.rand(len(conditioning)) < share
    return conditioning.masked_fill(black[:, None, None, None].to(conditioning.device), 0)
