"""The names of the denoiser's weights: diffusers' on one side, ComfyUI's on the other."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Weights = dict[str, Tensor]

# (ComfyUI, diffusers), each followed by .weight and .bias.
_ONCE = (
    ("x_embedder.proj", "pos_embed.proj"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ("context_embedder", "context_embedder"),
    ("final_layer.linear", "proj_out"),
)
_EACH_BLOCK = (
    ("x_block.adaLN_modulation.1", "norm1.linear"),
    ("x_block.attn.proj", "attn.to_out.0"),
    ("x_block.mlp.fc1", "ff.net.0.proj"),
    ("x_block.mlp.fc2", "ff.net.2"),
    ("context_block.attn.proj", "attn.to_add_out"),
    ("context_block.mlp.fc1", "ff_context.net.0.proj"),
    ("context_block.mlp.fc2", "ff_context.net.2"),
)
_NORMS = (
    ("x_block.attn.ln_q", "attn.norm_q"),
    ("x_block.attn.ln_k", "attn.norm_k"),
    ("context_block.attn.ln_q", "attn.norm_added_q"),
    ("context_block.attn.ln_k", "attn.norm_added_k"),
)
# One matrix of queries, keys and values on ComfyUI's side, three on diffusers'.
_ATTENTIONS = (
    ("x_block.attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v")),
    ("context_block.attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")),
)
_POSITIONS = ("pos_embed", "pos_embed.pos_embed")
_ENDS = ("weight", "bias")


def to_comfyui(weights: Mapping[str, Tensor]) -> Weights:
    """The weights of an `SD3Transformer2DModel` under ComfyUI's names.

    Raises:
        KeyError: a weight belongs to something else.
    """
    left = dict(weights)
    depth = _depth(left, "transformer_blocks.")
    renamed: Weights = {}
    for ours, theirs in _pairs(depth):
        if theirs in left:
            renamed[ours] = left.pop(theirs)
    for ours, theirs in _swapped(depth):
        renamed[ours] = _swap(left.pop(theirs))
    for ours, parts in _joined(depth):
        if parts[0] in left:
            renamed[ours] = torch.cat([left.pop(part) for part in parts])
    return _all_named(renamed, left)


def to_diffusers(weights: Mapping[str, Tensor]) -> Weights:
    """The reverse of `to_comfyui`.

    Raises:
        KeyError: a weight belongs to something else.
    """
    left = dict(weights)
    depth = _depth(left, "joint_blocks.")
    renamed: Weights = {}
    for ours, theirs in _pairs(depth):
        if ours in left:
            renamed[theirs] = left.pop(ours)
    for ours, theirs in _swapped(depth):
        renamed[theirs] = _swap(left.pop(ours))
    for ours, parts in _joined(depth):
        if ours in left:
            renamed |= zip(parts, left.pop(ours).chunk(3), strict=True)
    return _all_named(renamed, left)


def _depth(weights: Weights, prefix: str) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith(prefix)})


def _pairs(depth: int) -> Iterator[tuple[str, str]]:
    yield _POSITIONS
    for ours, theirs in _ONCE:
        yield from ((f"{ours}.{end}", f"{theirs}.{end}") for end in _ENDS)
    for block in range(depth):
        ours_before, theirs_before = f"joint_blocks.{block}.", f"transformer_blocks.{block}."
        names = (*_EACH_BLOCK, ("context_block.adaLN_modulation.1", "norm1_context.linear"))
        for ours, theirs in names if block < depth - 1 else _EACH_BLOCK:
            yield from ((f"{ours_before}{ours}.{end}", f"{theirs_before}{theirs}.{end}") for end in _ENDS)
        for ours, theirs in _NORMS:
            yield f"{ours_before}{ours}.weight", f"{theirs_before}{theirs}.weight"


def _swapped(depth: int) -> Iterator[tuple[str, str]]:
    """Modulations of which ComfyUI holds the shift first and diffusers the scale."""
    last = depth - 1
    for end in _ENDS:
        yield f"final_layer.adaLN_modulation.1.{end}", f"norm_out.linear.{end}"
        ours = f"joint_blocks.{last}.context_block.adaLN_modulation.1.{end}"
        yield ours, f"transformer_blocks.{last}.norm1_context.linear.{end}"


def _swap(weight: Tensor) -> Tensor:
    return torch.cat(weight.chunk(2)[::-1])


def _joined(depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    for block in range(depth):
        for ours, parts in _ATTENTIONS:
            for end in _ENDS:
                named = tuple(f"transformer_blocks.{block}.{part}.{end}" for part in parts)
                yield f"joint_blocks.{block}.{ours}.{end}", named


def _all_named(renamed: Weights, left: Weights) -> Weights:
    if left:
        raise KeyError(f"not weights of an SD3 transformer: {', '.join(sorted(left)[:5])}")
    return renamed
