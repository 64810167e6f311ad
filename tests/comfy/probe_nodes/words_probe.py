"""Nodes that read the cross-attention of hand words while ComfyUI samples, as the pack's own functions do it."""

import importlib
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sdxl_clip
import comfy.text_encoders.flux
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_api.latest import io

import nodes

SD15 = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_spatial_transformer": True,
    "legacy": False,
    "context_dim": 768,
    "num_heads": 8,
}
SDXL = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "legacy": False,
    "context_dim": 2048,
    "num_head_channels": 64,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
VIDEO = SD15 | {
    "use_temporal_attention": True,
    "use_temporal_resblock": True,
    "extra_ff_mix_layer": True,
    "use_spatial_context": True,
    "merge_strategy": "learned_with_images",
    "video_kernel_size": [3, 1, 1],
}
UNETS = {"SD1.5": SD15, "SDXL": SDXL, "video": VIDEO}


def of_the_pack(name: str) -> ModuleType:
    """A module of the installed pack, whose name is not known in advance."""
    root = nodes.NODE_CLASS_MAPPINGS["FairHandsHandGuidedKSampler"].__module__.removesuffix(
        ".nodes.hand_guided_ksampler"
    )
    return importlib.import_module(f"{root}.{name}")


class ProbeHandWords(io.ComfyNode):
    """The KSampler with a recorder on the model, and the map and mask of the words in its last step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeHandWords",
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent_image"),
                io.String.Input("words"),
                io.String.Input("sampling"),
            ],
            outputs=[io.Latent.Output(), io.Mask.Output("map"), io.Mask.Output("mask"), io.String.Output("told")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        positive: Any,
        negative: Any,
        latent_image: dict[str, torch.Tensor],
        words: str,
        sampling: str,
    ) -> io.NodeOutput:
        attention_map, hand_words = of_the_pack("fairhands.guidance.attention_map"), of_the_pack("nodes.hand_words")
        modules = hand_words.cross_attention_modules(model)
        context, tokens = hand_words.word_tokens(clip, words)
        batch, _, height, width = latent_image["samples"].shape
        settings = json.loads(sampling)
        with attention_map.AttentionRecorder(modules) as recorder:
            (latent,) = nodes.common_ksampler(
                model, positive=positive, negative=negative, latent=latent_image, **settings
            )
            shapes = {name: list(queries.shape) for name, queries in recorder.queries.items()}
            hand_map = recorder.hand_map(context, tokens, slice(0, batch), height, width)
        told = {"context": list(context.shape), "tokens": tokens, "shapes": shapes}
        return io.NodeOutput(latent, hand_map, attention_map.mask_from_map(hand_map), json.dumps(told))


class ProbeWordModules(io.ComfyNode):
    """JSON of the modules' names that are chosen of a model, or of a U-Net of a full-sized architecture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeWordModules",
            inputs=[io.String.Input("architecture", optional=True), io.Model.Input("model", optional=True)],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, architecture: str = "", model: Any = None) -> io.NodeOutput:
        if model is None:
            holder = torch.nn.Module()
            # Names and shapes alone: on this device weights take no memory.
            holder.diffusion_model = UNetModel(
                **UNETS[architecture], device="meta", operations=comfy.ops.disable_weight_init
            )
            model = comfy.model_patcher.ModelPatcher(holder, torch.device("cpu"), torch.device("cpu"))
        return io.NodeOutput(json.dumps(list(of_the_pack("nodes.hand_words").cross_attention_modules(model))))


class ProbeWordTokens(io.ComfyNode):
    """JSON of the context's shape and the words' tokens, of a CLIP or of a small one of another architecture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeWordTokens",
            inputs=[
                io.String.Input("words"),
                io.String.Input("architecture", optional=True),
                io.Clip.Input("clip", optional=True),
            ],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, words: str, architecture: str = "", clip: Any = None) -> io.NodeOutput:
        clip = clip or {"SDXL": small_sdxl_clip, "Flux": flux_clip}[architecture]()
        context, tokens = of_the_pack("nodes.hand_words").word_tokens(clip, words)
        finite = bool(torch.isfinite(context).all())
        return io.NodeOutput(json.dumps({"context": list(context.shape), "tokens": tokens, "finite": finite}))


def small_sdxl_clip() -> comfy.sd.CLIP:
    """SDXL's two text encoders, of three narrow layers each and random weights, with its real tokenizers."""
    narrow = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    options = {"clip_l_model_config": narrow | {"hidden_size": 16}, "clip_g_model_config": narrow | {"hidden_size": 24}}
    target = SimpleNamespace(params={}, clip=comfy.sdxl_clip.SDXLClipModel, tokenizer=comfy.sdxl_clip.SDXLTokenizer)
    clip = comfy.sd.CLIP(target, model_options=options)
    for parameter in clip.cond_stage_model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return clip


def flux_clip() -> comfy.sd.CLIP:
    """Flux's tokenizers, without its text encoders."""
    clip = comfy.sd.CLIP(no_init=True)
    clip.tokenizer, clip.tokenizer_options = comfy.text_encoders.flux.FluxTokenizer(), {}
    return clip


NODES = [ProbeHandWords, ProbeWordModules, ProbeWordTokens]
