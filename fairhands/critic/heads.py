"""What a critic judges with: one head for each of the backbone's feature maps."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

TEXT_CHANNELS = 64  # in which a picture's place and a text are compared


class Head(nn.Module):
    """A discriminator head after StyleGAN-T (arXiv 2301.09515, section 3.2).

    It takes a feature map, float [N, channels, positions], and gives a logit for each position, float
    [N, positions]. Where StyleGAN-T normalises by the statistics of small groups of the batch, this head
    uses each picture's own: a picture's logits are the same alone and among others. A convolution before a
    norm has no bias, because the norm has one.

    With a text the logit is the product of what is seen there and the text, projected to TEXT_CHANNELS:
    sum(seen * Linear(text)) / sqrt(TEXT_CHANNELS). The projection's bias stands for no text.
    """

    def __init__(self, channels: int, text_dimension: int | None = None) -> None:
        super().__init__()
        self.mix = _block(channels, kernel_size=1)
        self.look_around = _block(channels, kernel_size=9)
        self.judge = spectral_norm(nn.Conv1d(channels, TEXT_CHANNELS if text_dimension else 1, kernel_size=1))
        self.read = nn.Linear(text_dimension, TEXT_CHANNELS) if text_dimension else None

    def forward(self, features: Tensor, text: Tensor | None = None) -> Tensor:
        """Logits, in float32 at least; `text`: [N, text_dimension] of length 1, or zeros for none."""
        mixed = self.mix(features)
        mixed = (mixed + self.look_around(mixed)) / math.sqrt(2)
        seen = _precise(self.judge(mixed))
        if self.read is None or text is None:
            return seen.squeeze(1)
        return (seen * _precise(self.read(text))[..., None]).sum(dim=1) / math.sqrt(TEXT_CHANNELS)


def _precise(tensor: Tensor) -> Tensor:
    """In float32 at least, also where autocast computed it in half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _block(channels: int, kernel_size: int) -> nn.Sequential:
    convolution = nn.Conv1d(
        channels, channels, kernel_size, padding=kernel_size // 2, padding_mode="circular", bias=False
    )
    return nn.Sequential(spectral_norm(convolution), nn.GroupNorm(1, channels), nn.LeakyReLU(0.2))
