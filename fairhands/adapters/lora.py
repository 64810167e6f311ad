"""A LoRA on a base model, to be trained by itself."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from diffusers.models.modeling_utils import ModelMixin
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..base_models import BaseModel
from .layers import denoiser_layers, text_encoder_layers
from .names import kohya
from .settings import LoraSettings

NAME = "fairhands"


class LoraAdapter(nn.Module):
    """Low-rank changes of a base model's layers (LoRA, arXiv 2106.09685), beside its frozen weights.

    A layer W x + b becomes W x + b + scale * (alpha / rank) * up(down(x)). `up` is zero at first, `down` is drawn from
    torch's global generator. The layers are changed in place: after this, `base.predict` is with the LoRA, at scale 1.

    The module holds the LoRA alone, float32 and trainable, under the names of kohya's files:
    `lora_unet_..._to_q.lora_down.weight` [rank, in] or [rank, in, height, width], `.lora_up.weight` [out, rank]
    or [out, rank, 1, 1]. Its training mode switches dropout; the base stays in evaluation mode.

    Args:
        base: what is adapted; it has no adapter yet. Its weights are frozen, shared and not copied, in whatever
            precision they are.
        settings: how large, and on which layers.
        text_encoders: whether the text encoders are adapted as well.

    Raises:
        ValueError: the base has an adapter already, or no text encoders to adapt.
    """

    def __init__(self, base: BaseModel, settings: LoraSettings, text_encoders: bool = False) -> None:
        super().__init__()
        if any(isinstance(module, BaseTunerLayer) for module in base.denoiser.modules()):
            raise ValueError(f"the base ({base.family}) should have no adapter yet, found one: load it anew")
        if text_encoders and not base.text_encoders:
            raise ValueError(f"text_encoders is True, but the base ({base.family}) has none that could be adapted")
        self.base = base
        self.settings = settings
        self._scale = 1.0
        self._layers: list[LoraLayer] = []
        self._add(base.denoiser, denoiser_layers(base.denoiser, base.family, settings.layers), 0)
        for part, encoder in enumerate(base.text_encoders if text_encoders else (), start=1):
            self._add(encoder, text_encoder_layers(encoder, settings.layers), part)
        self.float().requires_grad_(True)

    @property
    def scale(self) -> float:
        """The scale that predictions have now."""
        return self._scale

    def scaled(self, scale: float) -> AbstractContextManager[None]:
        """Predictions within are with the LoRA at that scale: 0 is the base's own prediction, bit for bit.

        It may be negative and nested. A gradient may be taken within or later, with checkpointing too.

        Raises:
            ValueError: the scale is not finite.
        """
        if not math.isfinite(scale):
            raise ValueError(f"scale should be a finite number, found {scale}")
        return _Scaled(self, scale)

    def use_checkpointing(self, enabled: bool = True) -> None:
        """Have the denoiser forget what is between its blocks and compute it again for the gradient, or not."""
        denoiser = cast(ModelMixin, self.base.denoiser)
        if enabled:
            denoiser.enable_gradient_checkpointing(self._checkpointed)
        else:
            denoiser.disable_gradient_checkpointing()

    def _add(self, network: nn.Module, paths: list[str], part: int) -> None:
        """Put the LoRA on some layers of a network, and its weights into this module."""
        settings = self.settings
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=cast(int, settings.alpha),  # a fraction does as well
            lora_dropout=settings.dropout,
            target_modules=paths,
        )
        inject_adapter_in_model(config, network, NAME)
        layers_per_block = cast(Any, self.base.denoiser).config.get("layers_per_block", 0)  # a transformer has none
        for path in paths:
            layer = cast(LoraLayer, network.get_submodule(path))
            self._layers.append(layer)
            own = {"lora_down": layer.lora_A, "lora_up": layer.lora_B, "dropout": layer.lora_dropout}
            name = kohya(path, self.base.family, part, layers_per_block)
            self.add_module(name, nn.ModuleDict({key: modules[NAME] for key, modules in own.items()}))

    def _apply_scale(self, scale: float) -> None:
        if scale == self._scale:
            return
        if bool(scale) != bool(self._scale):
            # peft also switches whether the weights want a gradient, which is not ours to change here.
            wanted = [weight.requires_grad for weight in self.parameters()]
            for layer in self._layers:
                layer.enable_adapters(bool(scale))
            for weight, trainable in zip(self.parameters(), wanted, strict=True):
                weight.requires_grad_(trainable)
        for layer in self._layers if scale else ():
            layer.set_scale(NAME, scale)
        self._scale = scale

    def _checkpointed(self, block: Callable[..., Any], *inputs: Any) -> Any:
        """A block that is computed again at the scale it was first computed at."""
        scale = self._scale
        return checkpoint(block, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), self.scaled(scale)))


class _Scaled(AbstractContextManager[None]):
    """An adapter at a scale. It may be entered again: a block that is computed again is so for each gradient."""

    def __init__(self, adapter: LoraAdapter, scale: float) -> None:
        self._adapter = adapter
        self._scale = scale
        self._before: list[float] = []

    def __enter__(self) -> None:
        self._before.append(self._adapter.scale)
        self._adapter._apply_scale(self._scale)

    def __exit__(self, *_: object) -> None:
        self._adapter._apply_scale(self._before.pop())
