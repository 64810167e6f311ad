"""A step of the hand LoRA's training at the full sizes of SD 1.5 and SDXL, in random weights: seconds and memory."""

import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import BaseModel, Text
from fairhands.base_models.shapes import SD15, SDXL, Shapes
from fairhands.base_models.single_file import empty_networks
from fairhands.base_models.stable_diffusion import Networks, StableDiffusion, StableDiffusionXL
from fairhands.base_models.tokens import clip_tokenizer
from fairhands.sliders.loss import Prompts, Start, slider_losses

from .pairs import wait_for_gpu

STEPS = 3
GIGABYTE = 1 << 30
SPREAD = 0.02  # of random weights


@dataclass(frozen=True)
class Case:
    """A family at its size; on a processor pictures are of 256 pixels."""

    name: str
    shapes: Shapes
    base: type[StableDiffusion]
    resolution: int


CASES = (Case("sd15", SD15, StableDiffusion, 512), Case("sdxl", SDXL, StableDiffusionXL, 1024))


def run() -> dict[str, float]:
    """Each case in a process of its own, whose memory is then its own."""
    figures: dict[str, float] = {}
    for case in CASES:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds, peak = process.submit(_measured, case.name).result()
        figures[f"hand_lora_{case.name}_seconds_a_step"] = round(seconds, 3)
        figures[f"hand_lora_{case.name}_peak_gigabytes"] = round(peak, 2)
    return figures


def _measured(name: str) -> tuple[float, float]:
    """Seconds of a step, and the most memory in gigabytes."""
    case = next(case for case in CASES if case.name == name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = _random_base(case, device)
    adapter = LoraAdapter(base, LoraSettings()).to(device)
    adapter.use_checkpointing()
    side = (case.resolution if device.type == "cuda" else 256) // base.cells
    text = _random_text(case, device)
    prompts = Prompts(text, text, text, text, torch.full((1,), 4.0, device=device), torch.ones(1, device=device))
    start = Start(torch.randn(1, base.latent_channels, side, side, device=device), torch.full((1,), 0.5, device=device))
    optimiser = torch.optim.AdamW(adapter.parameters(), 2e-4)
    seconds = [_step(base, adapter, start, prompts, optimiser) for _ in range(STEPS + 1)][1:]
    return statistics.median(seconds), _peak(device)


def _step(
    base: BaseModel, adapter: LoraAdapter, start: Start, prompts: Prompts, optimiser: torch.optim.Optimizer
) -> float:
    begun = time.perf_counter()
    optimiser.zero_grad()
    with torch.autocast(base.device.type, torch.bfloat16):
        loss = slider_losses(base, adapter, start, prompts)["loss"]
    loss.backward()
    optimiser.step()
    wait_for_gpu()
    return time.perf_counter() - begun


def _random_base(case: Case, device: torch.device) -> BaseModel:
    unet, vae, _ = empty_networks(case.shapes)
    for network in (unet, vae):
        _fill(network, device)
    return case.base(Networks(unet, vae, (), clip_tokenizer(), case.shapes.process(None)), device, torch.bfloat16)


@torch.no_grad()
def _fill(network: nn.Module, device: torch.device) -> None:
    network.to(torch.bfloat16).to_empty(device=device)
    for weight in (*network.parameters(), *network.buffers()):
        weight.normal_(std=SPREAD)


def _random_text(case: Case, device: torch.device) -> Text:
    width = case.shapes.unet["cross_attention_dim"]
    states = torch.randn(1, 77, width, device=device)
    if case.base is StableDiffusion:
        return Text(states)
    size = torch.tensor([[case.resolution, case.resolution, 0, 0, case.resolution, case.resolution]], device=device)
    return Text(states, torch.randn(1, 1280, device=device), size.float())


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / GIGABYTE
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIGABYTE
