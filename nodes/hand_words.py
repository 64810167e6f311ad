"""What the cross-attention maps of hand words need from ComfyUI: the network's modules, and the encoded words."""

from itertools import chain
from typing import Any

import comfy.model_patcher
import comfy.sd
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, UNetModel, Upsample
from torch import nn

# Layers at a quarter and an eighth of the latent know what stands where; finer ones follow texture.
LAYER_SCALES = (4, 8)
# Of the up to ten blocks of a transformer: each kept block of SDXL's costs 5 MB an image at 1024 px (fp16, with CFG).
BLOCKS_PER_TRANSFORMER = 3
# The tokenizers of CLIP: SD1.5 has l, SDXL g and l, SD2 h. All give a prompt the same token positions.
CLIP_TOKENIZERS = {"l", "g", "h"}

WITHOUT_CROSS_ATTENTION = (
    "model has no cross-attention from picture to words that a hand mask could be read from; "
    "maps of hand words work with SD1.5 and SDXL models: connect one, or switch them off."
)


def cross_attention_modules(model: comfy.model_patcher.ModelPatcher) -> dict[str, nn.Module]:
    """The cross-attention modules of a SD1.5 or SDXL U-Net at the middle resolutions, by their names in it.

    Up to BLOCKS_PER_TRANSFORMER evenly spaced blocks of each transformer. Empty for other architectures, such as SD3
    and Flux; WITHOUT_CROSS_ATTENTION says so to the user.
    """
    unet = getattr(model.model, "diffusion_model", None)
    if not isinstance(unet, UNetModel):
        return {}
    chosen = {block.attn2 for transformer in _middle_transformers(unet) for block in _some_blocks(transformer)}
    return {name: module for name, module in unet.named_modules() if module in chosen}


def _middle_transformers(unet: UNetModel) -> list[SpatialTransformer]:
    """The transformers that work at LAYER_SCALES, found by following the network's halvings and doublings."""
    blocks: list[Any] = [*unet.input_blocks, unet.middle_block or (), *unet.output_blocks]
    scale, found = 1, []
    for layer in chain.from_iterable(blocks):
        if isinstance(layer, Downsample):
            scale *= 2
        elif isinstance(layer, Upsample):
            scale //= 2
        # A video model's transformer is a subclass, and attends to a picture instead of words.
        elif type(layer) is SpatialTransformer and scale in LAYER_SCALES:
            found.append(layer)
    return found


def _some_blocks(transformer: SpatialTransformer) -> list[Any]:
    """Evenly spaced blocks of a transformer, its last one always."""
    blocks = list(transformer.transformer_blocks)
    count = min(len(blocks), BLOCKS_PER_TRANSFORMER)
    return [blocks[(number + 1) * len(blocks) // count - 1] for number in range(count)]


def word_tokens(clip: comfy.sd.CLIP, words: str) -> tuple[torch.Tensor, list[int]]:
    """The words' context `[L, D]` as a U-Net of SD1.5 or SDXL gets it, and which of its L tokens are the words.

    Begin, end and padding are not among them. Raises ValueError where `words` holds none, or the text encoder is
    another than CLIP.
    """
    numbered = clip.tokenize(words, return_word_ids=True)
    if not set(numbered) <= CLIP_TOKENIZERS:
        raise ValueError(
            f"clip has the text encoders {', '.join(sorted(numbered))}, expected those of SD1.5 or SDXL: "
            "maps of hand words need a model whose text encoder is CLIP alone."
        )
    # Word 0 stands for begin, end and padding; an embedding's tokens have a number like any word's.
    positions = [
        {position for position, (_, _, word) in enumerate(chain(*sections)) if word != 0}
        for sections in numbered.values()
    ]
    tokens = sorted(set.intersection(*positions))
    if not tokens:
        raise ValueError(f"words is {words!r}, expected one word or more, such as 'hand, fingers'.")
    context: Any = clip.encode_from_tokens(clip.tokenize(words))
    return context[0], tokens
