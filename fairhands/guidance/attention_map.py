"""Where a picture shows hands, read from the cross-attention of hand words.

For hands too deformed for the detector. The network's own queries, from inside a denoising step, are compared with the
keys of a text that names hands:

    map = resize( mean over heads and modules of sum over word tokens of softmax_tokens(q k^T / sqrt(dim_head)) )
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from .follow import Fallback

# Parts of a mask below this share of its pixels are specks.
SMALLEST_PART = 1e-3
LARGEST_SHARE = 0.3
# Relative differences up to this are rounding errors of float32.
ROUNDING = 1e-5


class AttentionRecorder:
    """Keeps the last queries of cross-attention modules, from when it is made until `detach`; a context manager.

    `modules`: name -> module with `to_q`, `to_k`, `heads` and `dim_head`, as ComfyUI's CrossAttention has. Outputs
    stay as they are bit for bit. Kept per module: one tensor `[N, T, heads * dim_head]` of the network's dtype and
    device, N the rows of the network's last batch, T the layer's pixels.
    """

    def __init__(self, modules: Mapping[str, nn.Module]):
        self.modules: dict[str, Any] = dict(modules)
        self.queries: dict[str, torch.Tensor] = {}
        self._hooks: list[RemovableHandle] = [
            module.to_q.register_forward_hook(partial(self._keep, name)) for name, module in self.modules.items()
        ]

    def __enter__(self) -> "AttentionRecorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Remove the hooks and let go of the queries."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.queries.clear()

    @torch.no_grad()
    def hand_map(
        self, words: torch.Tensor, word_tokens: slice | Sequence[int], rows: slice, height: int, width: int
    ) -> torch.Tensor:
        """How much each place attends to the words: float32 `[B, height, width]`, scaled to 0..1 for each image.

        `words`: the text's context `[L, D]`, as the network gets it. `word_tokens`: those of its L tokens that are the
        words. `rows`: the B rows of the network's last batch that are the images, such as its conditional half.
        `height`, `width`: the latent's. A map without any differences is all 0.
        Raises ValueError where nothing was recorded yet, or a layer's pixels are not the latent's, halved.
        """
        if not self.queries:
            raise ValueError("queries are empty, expected a step of the network before hand_map: nothing ran yet.")
        maps = [self._module_map(name, words, word_tokens, rows, height, width) for name in self.queries]
        return _to_unit_range(torch.stack(maps).mean(0))

    def _keep(self, name: str, module: nn.Module, inputs: Any, queries: torch.Tensor) -> None:
        self.queries[name] = queries.detach()

    def _module_map(
        self, name: str, words: torch.Tensor, word_tokens: slice | Sequence[int], rows: slice, height: int, width: int
    ) -> torch.Tensor:
        """One module's attention to the words, `[B, height, width]`."""
        module, queries = self.modules[name], self.queries[name][rows]
        keys = module.to_k(words.to(queries))
        # [B, T, C] -> [B, heads, T, dim_head], [L, C] -> [heads, L, dim_head]
        queries, keys = (
            tensor.float().unflatten(-1, (module.heads, module.dim_head)).transpose(-3, -2)
            for tensor in (queries, keys)
        )
        attention = (queries @ keys.transpose(-2, -1) * module.dim_head**-0.5).softmax(-1)
        of_words = attention[..., word_tokens].sum(-1).mean(1)
        small = of_words.unflatten(-1, layer_size(of_words.shape[-1], height, width))
        return functional.interpolate(small[:, None], size=(height, width), mode="bilinear")[:, 0]


def layer_size(pixels: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of a layer with that many pixels, in a network that halves latents, rounding up.

    Raises ValueError where no halving of `height` and `width` has as many pixels.
    """
    layer_height, layer_width = height, width
    while layer_height * layer_width > max(pixels, 1):
        layer_height, layer_width = (layer_height + 1) // 2, (layer_width + 1) // 2
    if layer_height * layer_width != pixels:
        raise ValueError(
            f"height and width are {height} x {width}, expected the size of the sampled latent: "
            f"no halving of it has the {pixels} pixels of the recorded layer."
        )
    return layer_height, layer_width


def mask_from_map(hand_map: torch.Tensor, threshold: float = 0.5, largest_share: float = LARGEST_SHARE) -> torch.Tensor:
    """The bright parts of maps `[B, H, W]` from 0 up: float32 masks of that shape, 0 or 1.

    A pixel belongs to the mask where it is above `threshold` (0..1, below 1) times its image's maximum. Where that
    makes more than `largest_share` (above 0, up to 1) of the pixels, the threshold rises until it fits. Parts below
    SMALLEST_PART of the pixels are dropped.
    Raises ValueError where `threshold` or `largest_share` is out of range.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold:g}, expected a share of the map's maximum, from 0 to below 1.")
    if not 0 < largest_share <= 1:
        raise ValueError(f"largest_share is {largest_share:g}, expected a share of the pixels, above 0 and up to 1.")
    values = hand_map.flatten(1).float()
    level = threshold * values.amax(1)
    most = int(largest_share * values.shape[1])
    if most < values.shape[1]:
        # Not more than `most` pixels lie above the value that comes after the `most` largest.
        level = torch.maximum(level, values.sort(descending=True).values[:, most])
    bright = (values > level[:, None]).reshape(hand_map.shape)
    return torch.stack([_without_specks(image) for image in bright])


def _without_specks(bright: torch.Tensor) -> torch.Tensor:
    """A bool image `[H, W]` as a float mask, its small connected parts left out."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(bright.cpu().numpy().astype(np.uint8))
    large = statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_PART * bright.numel()
    # The first label is the background.
    large[:1] = False
    return torch.from_numpy(large[labels.astype(np.intp)].astype(np.float32)).to(bright.device)


def _to_unit_range(maps: torch.Tensor) -> torch.Tensor:
    """Each map `[B, H, W]` of positive values scaled linearly to 0..1; 0 where it differs by rounding errors alone."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high - low > ROUNDING * high, (maps - low) / (high - low), 0.0)


def hand_words_fallback(
    recorder: AttentionRecorder,
    words: torch.Tensor,
    word_tokens: Sequence[int],
    picture_shape: Sequence[int],
    latent_size: tuple[int, int],
    largest_share: float,
) -> Fallback:
    """A mask of where the last step of the network attends to hand words.

    `words`, `word_tokens`: as for `AttentionRecorder.hand_map`. `picture_shape`: `[B, H, W]` of the pictures.
    `latent_size`: height and width of the latents. `largest_share`: see `mask_from_map`.
    """
    batch, height, width = picture_shape

    def look(image: int, _: torch.Tensor) -> torch.Tensor:
        # The network's last rows are all images under one of the conditions.
        maps = recorder.hand_map(words, word_tokens, slice(-batch, None), *latent_size)
        mask = mask_from_map(maps[image : image + 1].cpu(), largest_share=min(LARGEST_SHARE, largest_share))
        return functional.interpolate(mask[None], size=(height, width), mode="nearest")[0, 0]

    return look
