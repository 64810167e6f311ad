"""A step of the hand LoRA's training at the full sizes of SD 1.5 and SDXL, in random weights: seconds and memory."""

import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import BaseModel
from fairhands.sliders.loss import Prompts, Start, slider_losses

from .full_size import SD15_CASE, SDXL_CASE, Case, random_base, random_text
from .pairs import wait_for_gpu

STEPS = 3
GIGABYTE = 1 << 30


def run() -> dict[str, float]:
    """Each case in a process of its own, whose memory is then its own."""
    figures: dict[str, float] = {}
    for case in (SD15_CASE, SDXL_CASE):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds, peak = process.submit(_measured, case).result()
        figures[f"hand_lora_{case.name}_seconds_a_step"] = round(seconds, 3)
        figures[f"hand_lora_{case.name}_peak_gigabytes"] = round(peak, 2)
    return figures


def _measured(case: Case) -> tuple[float, float]:
    """Seconds of a step, and the most memory in gigabytes."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = random_base(case, device)
    adapter = LoraAdapter(base, LoraSettings()).to(device)
    adapter.use_checkpointing()
    side = case.latent_side(device)
    text = random_text(case, device)
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


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / GIGABYTE
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIGABYTE
