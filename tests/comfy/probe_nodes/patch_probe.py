"""Nodes about gradients through ComfyUI's models: patches that they cannot pass, and a check of their values."""

import json
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from comfy_api.latest import io

from .words_probe import of_the_pack


class ProbePatch(io.ComfyNode):
    """MODEL -> MODEL; `kind` says what is done to each prediction: "detach", or "scale" by a tensor of this node's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePatch",
            inputs=[io.Model.Input("model"), io.String.Input("kind")],
            outputs=[io.Model.Output("MODEL")],
        )

    @classmethod
    def execute(cls, model: Any, kind: str) -> io.NodeOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale = torch.full((1, 1, 1, 1), 1.01)  # an inference tensor, as all that a node makes

        def predict(apply_model: Any, arguments: dict[str, Any]) -> torch.Tensor:
            denoised = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
            return denoised.detach() if kind == "detach" else denoised * scale

        patched = model.clone()
        patched.set_model_unet_function_wrapper(predict)
        return io.NodeOutput(patched)


class ProbeUnpooled(io.ComfyNode):
    """CONDITIONING without the pooled embedding of its text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeUnpooled",
            inputs=[io.Conditioning.Input("conditioning")],
            outputs=[io.Conditioning.Output("CONDITIONING")],
        )

    @classmethod
    def execute(cls, conditioning: Any) -> io.NodeOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        without = [
            [context, {key: value for key, value in options.items() if key != "pooled_output"}]
            for context, options in conditioning
        ]
        return io.NodeOutput(without)


class ProbeGradient(io.ComfyNode):
    """JSON of a directional derivative of a model's clean estimate: by autograd as exact guidance does it, and by
    finite differences."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeGradient",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent"),
                io.Float.Input("sigma"),
            ],
            outputs=[io.String.Output("STRING")],
        )

    @classmethod
    def execute(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, model: Any, positive: Any, negative: Any, latent: dict[str, Any], sigma: float
    ) -> io.NodeOutput:
        samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
        derivative, noise = Derivative(), comfy.sample.prepare_noise(samples, 1)
        sigmas = torch.tensor([sigma, 0.0])
        comfy.sample.sample_custom(model, noise, 3.0, derivative, sigmas, positive, negative, samples)
        return io.NodeOutput(json.dumps(derivative.found))


class Derivative(comfy.samplers.Sampler):
    """A sampler that differentiates its first prediction."""

    STEP = 0.02

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

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
        differentiable = of_the_pack("nodes.differentiable")
        generator = torch.Generator().manual_seed(2)
        with torch.inference_mode(False), torch.enable_grad():
            differentiable.make_differentiable(model_wrap.inner_model)
            differentiable.make_conditions_differentiable(model_wrap.conds)
            sigma = sigmas[:1].clone().expand(len(noise))
            along, weights = (torch.randn(noise.shape, generator=generator) for _ in range(2))

            def predicted(x: torch.Tensor) -> torch.Tensor:
                return (model_wrap(x, sigma, **extra_args) * weights).sum()

            leaf = noise.clone().requires_grad_()
            with differentiable.in_place_operations_allowed():
                value = predicted(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        ends = [float(predicted(noise + step * along)) for step in (self.STEP, -self.STEP)]
        self.found = {
            "autograd": float((gradient * along).sum()),
            "differences": (ends[0] - ends[1]) / (2 * self.STEP),
        }
        return latent_image


NODES: list[type[io.ComfyNode]] = [ProbePatch, ProbeUnpooled, ProbeGradient]
