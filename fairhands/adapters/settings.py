"""The shape of a low-rank adapter."""

from typing import Literal

from pydantic import Field

from ..training.configuration import Configuration

LayerChoice = Literal["attention", "cross_attention", "no_cross_attention", "all"]


class LoraSettings(Configuration):
    """How large a LoRA is, and on which layers."""

    rank: int = Field(
        default=4, ge=1, le=1024, description="Rank of each layer's change: more learns more, costs more."
    )
    alpha: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="Strength: the change is multiplied by alpha / rank."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of a layer's inputs left out while training.")
    layers: LayerChoice = Field(
        default="attention",
        description="Which layers change: attention (all of it), cross_attention (what reads the text), "
        "no_cross_attention (all but that) or all (every layer of the blocks, with convolutions).",
    )
