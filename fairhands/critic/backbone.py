"""What all backbones are: pictures in, feature maps out."""

from collections.abc import Mapping

from torch import Tensor, nn

from .weights import fill


class Backbone(nn.Module):
    """Base of the backbones; each is made from a `CriticConfig` alone.

    Called with pictures, float [N, 3, S, S] in 0..1, it gives a list of feature maps, float
    [N, channels, positions], each with its entry in `channels`. A picture's features must not depend on
    the other pictures of the batch in eval mode.
    """

    channels: list[int]

    def weights(self) -> dict[str, Tensor]:
        """Its weights, named as in a critic's file; on the CPU or where they are."""
        return self.state_dict()

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights named as `weights` names them; raises ValueError where they are not this backbone's."""
        fill(self, weights, "backbone.")
