"""Nodes for the benchmark's graphs; the server that loads them gets its tiny decoder and its LoRA written, too."""

from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import ComfyExtension, io
from torch.utils.flop_counter import FlopCounterMode

from . import memory, weights

TINY_DECODER, LORA = "taesd_decoder.safetensors", "bench_lora.safetensors"


class BenchModel(io.ComfyNode):
    """SD1.5's U-Net and autoencoder at full size in random weights, and two prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BenchModel",
            inputs=[],
            outputs=[
                io.Model.Output("MODEL"),
                io.Vae.Output("VAE"),
                io.Conditioning.Output("POSITIVE", display_name="positive"),
                io.Conditioning.Output("NEGATIVE", display_name="negative"),
            ],
        )

    @classmethod
    def execute(cls, **_: Any) -> io.NodeOutput:
        torch.manual_seed(0)
        return io.NodeOutput(weights.unet(), weights.autoencoder(), weights.prompt(1), weights.prompt(2))


class BenchBegin(io.ComfyNode):
    """LATENT -> the same; from here on memory's peak counts, after the model, if given, was made.

    `seed` has it run again for each run.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BenchBegin",
            inputs=[
                io.Latent.Input("latent"),
                io.Int.Input("seed", min=0, max=1 << 62),
                io.Model.Input("model", optional=True),
            ],
            outputs=[io.Latent.Output("LATENT")],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        memory.forget_peak()
        return io.NodeOutput(inputs["latent"])


class BenchResult(io.ComfyNode):
    """Memory's peak in bytes since BenchBegin; refuses a latent that is not finite."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="BenchResult", inputs=[io.Latent.Input("latent")], outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        if not inputs["latent"]["samples"].isfinite().all():
            raise ValueError("the sampled latent is not finite, so what was measured means nothing.")
        return io.NodeOutput(ui={"peak": [memory.peak()]})


class BenchOperations(io.ComfyNode):
    """Floating-point operations of one Euler step at a training timestep, detection on the processor left out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BenchOperations",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent"),
                io.Float.Input("cfg"),
                io.Int.Input("timestep"),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        model, samples = inputs["model"], inputs["latent"]["samples"]
        sampling = model.get_model_object("model_sampling")
        timesteps = torch.tensor([float(inputs["timestep"]), inputs["timestep"] - 1.0])
        with FlopCounterMode(display=False) as counter:
            comfy.sample.sample_custom(
                model,
                comfy.sample.prepare_noise(samples, 1),
                inputs["cfg"],
                comfy.samplers.sampler_object("euler"),
                sampling.sigma(timesteps),
                inputs["positive"],
                inputs["negative"],
                samples,
            )
        return io.NodeOutput(ui={"operations": [counter.get_total_flops()]})


class BenchExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [BenchModel, BenchBegin, BenchResult, BenchOperations]


async def comfy_entrypoint() -> BenchExtension:
    torch.manual_seed(0)
    weights.write_tiny_decoder(Path(folder_paths.get_folder_paths("vae_approx")[0]) / TINY_DECODER)
    weights.write_lora(Path(folder_paths.get_folder_paths("loras")[0]) / LORA)
    return BenchExtension()
