"""What a critic looks with: a backbone turns pictures into feature maps from several places.

Another backbone is another class and its line in `BACKBONES`; nothing else changes.
"""

import itertools
from collections.abc import Callable

from torch import Tensor, nn

from .backbone import Backbone
from .config import CriticConfig


class ConvolutionalBackbone(Backbone):
    """A small trainable backbone: each of its stages halves the picture, the last two give feature maps.

    It normalises by batches while it is trained and by the averages of its training afterwards, when each
    picture is by itself. (By each picture's own statistics it learnt too slowly to count fingers.)

    Raises:
        ValueError: fewer than two `widths`, or an `input_size` that cannot be halved as often.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        widths = config.widths
        if len(widths) < 2 or config.input_size % 2 ** len(widths):
            raise ValueError(
                f"widths should be two or more, and input_size divisible by 2 to the power of their number, "
                f"found widths {widths} and input_size {config.input_size}"
            )
        self.channels = list(widths[-2:])
        self.stages = nn.ModuleList([_halved(3, widths[0])])
        for before, after in itertools.pairwise(widths):
            self.stages.append(nn.Sequential(_halved(before, after), _refined(after)))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = [pictures * 2 - 1]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [features.flatten(2) for features in maps[-2:]]


def _halved(before: int, after: int) -> nn.Sequential:
    return _normalised(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False))


def _refined(channels: int) -> nn.Sequential:
    return _normalised(nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False))


def _normalised(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(0.2))


def _transformer(config: CriticConfig) -> Backbone:
    from .vit import TransformerBackbone  # transformers takes seconds to import, and only this backbone needs it

    return TransformerBackbone(config)


BACKBONES: dict[str, Callable[[CriticConfig], Backbone]] = {"conv": ConvolutionalBackbone, "vit": _transformer}
