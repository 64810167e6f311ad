"""Nodes that show the pack's LoRA branches at work inside ComfyUI's samplers."""

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io


def lora_branch() -> ModuleType:
    """The pack's module, under whatever name ComfyUI imported the pack."""
    known = ".nodes.hand_guided_ksampler"
    pack = next(name.removesuffix(known) for name in sys.modules if name.endswith(known))
    return importlib.import_module(f"{pack}.nodes.lora_branch")


class ProbeHandLora(io.ComfyNode):
    """A file of the loras folder as branches of a model's clone, and what was read."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeHandLora",
            inputs=[
                io.Model.Input("model"),
                io.String.Input("lora_name"),
                io.Clip.Input("clip", optional=True),
            ],
            outputs=[io.Model.Output("MODEL"), io.Clip.Output("CLIP"), io.String.Output("STRING")],
        )

    @classmethod
    def execute(cls, model: Any, lora_name: str, clip: Any = None) -> io.NodeOutput:
        module = lora_branch()
        tensors = comfy.utils.load_torch_file(folder_paths.get_full_path_or_raise("loras", lora_name))
        lora = module.read_hand_lora(model, clip, tensors)
        model = model.clone()
        module.attach_lora_branch(model, f"probe {lora_name}", lora.branches)
        read = {
            "layers": lora.layers,
            "ranks": lora.ranks,
            "unmatched": lora.unmatched,
            "clip": lora.clip is not None,
            "paths": {
                path: [type(branch).__name__ for branch in several] for path, several in lora.branches.branches.items()
            },
        }
        return io.NodeOutput(model, lora.clip or clip, json.dumps(read))


class ProbePredict(io.ComfyNode):
    """`predict_with_lora` at one sigma inside a run of ComfyUI's: estimates of both prompts, without and with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePredict",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent"),
                io.Float.Input("sigma"),
                io.Boolean.Input("unload", default=False),
            ],
            outputs=[io.Latent.Output("WITHOUT"), io.Latent.Output("WITH"), io.String.Output("STRING")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        latent: dict[str, Any],
        sigma: float,
        unload: bool,
    ) -> io.NodeOutput:
        if unload:
            comfy.model_management.unload_all_models()
        network = model.model.diffusion_model
        predictor = Predictor(lora_branch().predict_with_lora, network)
        samples = latent["samples"]
        comfy.sample.sample_custom(
            model,
            comfy.sample.prepare_noise(samples, 1),
            1.0,
            predictor,
            torch.tensor([sigma, 0.0]),
            positive,
            negative,
            samples,
        )
        seen = {"hooks_during": predictor.hooks, "hooks_after": hooks(network), "seen_by_others": predictor.indices}
        without, with_lora = (torch.cat(estimates) for estimates in predictor.estimates)
        return io.NodeOutput({"samples": without}, {"samples": with_lora}, json.dumps(seen))


class Predictor(comfy.samplers.Sampler):
    """A sampler that predicts once and keeps what it saw."""

    def __init__(self, predict: Any, network: torch.nn.Module):
        self.predict = predict
        self.network = network
        self.hooks = 0
        self.indices: list[list[int]] = []
        self.estimates: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])

    def sample(
        self,
        model_wrap: Any,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: torch.Tensor,
        latent_image: torch.Tensor,
        *_: Any,
        **__: Any,
    ) -> torch.Tensor:
        network = model_wrap.inner_model
        x = network.model_sampling.noise_scaling(sigmas[0], noise, latent_image, False)
        options = extra_args["model_options"]
        options["transformer_options"].setdefault("patches", {})["input_block_patch"] = [self._look]
        conds = [model_wrap.conds["positive"], model_wrap.conds["negative"]]
        self.hooks = hooks(self.network)
        sigma = sigmas[:1].expand(len(x))
        self.estimates = self.predict(comfy.samplers.calc_cond_batch, network, conds, conds, x, sigma, options)
        return latent_image

    def _look(self, hidden: torch.Tensor, transformer_options: dict[str, Any]) -> torch.Tensor:
        """An extension's patch, which looks conds up by their index."""
        self.indices.append(transformer_options["cond_or_uncond"])
        return hidden


def hooks(network: torch.nn.Module) -> int:
    """How many forward hooks are on a network's layers."""
    return sum(len(module._forward_hooks) for module in network.modules())


NODES: list[type[io.ComfyNode]] = [ProbeHandLora, ProbePredict]
