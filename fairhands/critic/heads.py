"""What a critic judges with: one head for each of the backbone's feature maps."""

import math

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Head(nn.Module):
    """A discriminator head after StyleGAN-T (arXiv 2301.09515, section 3.2), without a text.

    It takes a feature map, float [N, channels, positions], and gives a logit for each position, float
    [N, positions]. Where StyleGAN-T normalises by the statistics of small groups of the batch, this head
    uses each picture's own: a picture's logits are the same alone and among others.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = _block(channels, kernel_size=1)
        self.look_around = _block(channels, kernel_size=9)
        self.judge = spectral_norm(nn.Conv1d(channels, 1, kernel_size=1))

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.mix(features)
        mixed = (mixed + self.look_around(mixed)) / math.sqrt(2)
        return self.judge(mixed).squeeze(1)


def _block(channels: int, kernel_size: int) -> nn.Sequential:
    convolution = nn.Conv1d(
        channels, channels, kernel_size, padding=kernel_size // 2, padding_mode="circular", bias=False
    )
    return nn.Sequential(spectral_norm(convolution), nn.GroupNorm(1, channels), nn.LeakyReLU(0.2))
