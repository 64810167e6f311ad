"""The hand discriminator: a backbone, and a head for each of its feature maps."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbones import BACKBONES
from .config import CriticConfig
from .heads import Head

if TYPE_CHECKING:
    from typing_extensions import Self


class Critic(nn.Module):
    """Tells right hands from malformed ones: higher logits, more like a right hand.

    In eval mode, which is for guidance, each picture is judged by itself: its logits do not depend on the
    rest of the batch, and are the same each time.

    Raises:
        ValueError: the configuration names a backbone that does not exist or a shape that it cannot have.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        if config.backbone not in BACKBONES:
            raise ValueError(f"backbone should be one of {sorted(BACKBONES)}, found {config.backbone!r}")
        self.config = config
        self.input_size = config.input_size
        self.backbone = BACKBONES[config.backbone](config)
        self.heads = nn.ModuleList(Head(channels, config.text_dimension) for channels in self.backbone.channels)

    def forward(self, pictures: Tensor, text: Tensor | None = None) -> Tensor:
        """Judge pictures.

        Args:
            pictures: float [N, 3, S, S] in 0..1, RGB, S the critic's `input_size`: crops with one hand each.
            text: float [N, D] or [1, D], the embedding of what they show, where the critic's `text_dimension` is
                D; None judges without a text.

        Returns:
            float [N, L]: a logit for each position of each feature map.

        Raises:
            ValueError: pictures or text of another shape.
        """
        return self.judge(self.features(pictures), text)

    def train(self, mode: bool = True) -> "Self":
        """As modules do, but a backbone that is frozen stays in evaluation mode."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def features(self, pictures: Tensor) -> list[Tensor]:
        """The backbone's feature maps of such pictures, float [N, channels, positions] each."""
        size = self.input_size
        if pictures.ndim != 4 or pictures.shape[1:] != (3, size, size):
            raise ValueError(
                f"pictures should have the shape [N, 3, {size}, {size}], found {list(pictures.shape)}: "
                "crop to the hand and resize to the critic's input_size"
            )
        return self.backbone(pictures)

    def judge(self, features: list[Tensor], text: Tensor | None = None) -> Tensor:
        """The logits [N, L] that the heads give for feature maps, and a text as for `forward`."""
        text = self._embedding(features[0], text)
        return torch.cat([head(part, text) for head, part in zip(self.heads, features, strict=True)], dim=1)

    def _embedding(self, features: Tensor, text: Tensor | None) -> Tensor | None:
        """The text at length 1 for each picture, zeros where none is given; None for a critic that knows no texts."""
        dimension = self.config.text_dimension
        if dimension is None:
            if text is not None:
                raise ValueError("text should be None: this critic was trained without texts")
            return None
        if text is None:
            return features.new_zeros(len(features), dimension)
        if text.ndim != 2 or text.shape[1] != dimension:
            raise ValueError(f"text should have the shape [N, {dimension}], found {list(text.shape)}")
        return functional.normalize(text.to(features), dim=1).expand(len(features), -1)

    def probability(self, logits: Tensor) -> Tensor:
        """How likely each hand is right, 0..1, as calibrated on held-out hands: logits [N, L] -> [N]."""
        scale, offset = self.config.calibration
        return torch.sigmoid(scale * logits.mean(dim=1) + offset)

    def loss(self, logits: Tensor) -> Tensor:
        """What guidance lowers: the generator's hinge loss of each picture (arXiv 2301.09515).

        Args:
            logits: [N, L] from `forward`.

        Returns:
            [N], minus the mean logit; lower means more like a right hand.
        """
        return -logits.mean(dim=1)
