"""The mannequin model's autoencoder: TAESD's layout, 8 x 8 pixels to one latent cell of 16 channels.

ComfyUI reads such a file as a VAE, and the number of latent channels from it.
"""

import torch
from torch import Tensor, nn

LATENT_CHANNELS = 16
DOWNSCALE = 8
# SD3's latent format, which ComfyUI applies to what the VAE gives: (latent - shift) * scale.
FORMAT_SHIFT = 0.0609
FORMAT_SCALE = 1.5305

_WIDTH = 64


class _Clamp(nn.Module):
    """Soft bounds of a latent at -3 and 3."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent / 3) * 3


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())
        self.fuse = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.fuse(self.conv(features) + features)


class Autoencoder(nn.Module):
    """Pictures to latents of about zero mean and unit variance, and back.

    Its parameters have the names that ComfyUI expects; `vae_scale` and `vae_shift` undo SD3's latent format, so
    that a denoiser in ComfyUI sees the latents that `encode` gives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder = nn.Sequential(
            _conv(3), _Block(), *_halving(), *_halving(), *_halving(), _conv(_WIDTH, LATENT_CHANNELS)
        )
        self.taesd_decoder = nn.Sequential(
            _Clamp(), _conv(LATENT_CHANNELS), nn.ReLU(), *_doubling(), *_doubling(), *_doubling(), _Block(),
            _conv(_WIDTH, 3),
        )  # fmt: skip
        self.apply(_start)
        self.vae_scale = nn.Parameter(torch.tensor(FORMAT_SCALE), requires_grad=False)
        self.vae_shift = nn.Parameter(torch.tensor(FORMAT_SHIFT), requires_grad=False)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in 0..1, sides multiples of 8 -> latents [N, 16, H / 8, W / 8]."""
        return self.taesd_encoder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [N, 16, h, w] -> pictures [N, 3, 8 h, 8 w], about 0..1."""
        return self.taesd_decoder(latents)


def _start(module: nn.Module) -> None:
    """Begin as a mosaic: blocks add nothing, and the first three channels of all layers carry the colours through.

    From PyTorch's own random start the colours took most of the training. Applied to a block after what is in it.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _Block):
        last = module.conv[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
    elif isinstance(module, Autoencoder):
        for layer in (*module.taesd_encoder, *module.taesd_decoder):
            if isinstance(layer, nn.Conv2d):
                _carry_colours(layer)


@torch.no_grad()
def _carry_colours(convolution: nn.Conv2d) -> None:
    convolution.weight[:3] = 0.0
    for channel in range(3):
        convolution.weight[channel, channel, 1, 1] = 1.0


def _conv(channels: int = _WIDTH, filters: int = _WIDTH) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, 3, padding=1)


def _halving() -> list[nn.Module]:
    return [nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1, bias=False), _Block(), _Block(), _Block()]


def _doubling() -> list[nn.Module]:
    larger = [nn.Upsample(scale_factor=2), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)]
    return [_Block(), _Block(), _Block(), *larger]
