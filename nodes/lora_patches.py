"""A LoRA file's tensors and the patches that ComfyUI's reader makes of them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from comfy.weight_adapter import LoRAAdapter, WeightAdapterBase
from torch import Tensor

from ..fairhands.guidance.low_rank import LowRank

TEXT_ENCODER = ("lora_te", "lora_prior_te", "text_encoder")
"""How the keys of text encoders begin."""


class Patch(NamedTuple):
    """One patch of a weight: ComfyUI's adapter, or a pair of its kind and its values."""

    value: Any
    offset: tuple[int, int, int] | None = None
    function: Callable[[Tensor], Tensor] | None = None

    @property
    def is_low_rank(self) -> bool:
        """A plain LoRA, of all output channels or a slice of them."""
        if not isinstance(self.value, LoRAAdapter) or self.function is not None:
            return False
        *_, dora, reshape = self.value.weights
        return dora is None and reshape is None and (self.offset is None or self.offset[0] == 0)

    @property
    def kind(self) -> str:
        """LoHa, LoKr and so on, DoRA, or "diff" and "set"."""
        if isinstance(self.value, LoRAAdapter):
            return "dora" if self.value.weights[4] is not None else "lora"
        return self.value.name if isinstance(self.value, WeightAdapterBase) else self.value[0]

    def low_rank(self) -> LowRank:
        up, down, alpha, mid, *_ = self.value.weights
        outputs = None if self.offset is None else self.offset[1:]
        return LowRank(down, up, 1.0 if alpha is None else alpha / len(down), mid, outputs)


class ReadTensors(dict[str, Tensor]):
    """A file's tensors that note which were read: ComfyUI's reader tells what it left out to the log alone."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__(tensors)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            self.read.add(key)
        return super().get(key, default)
