"""Train a hand LoRA from prompts alone: `python -m trainers.hand_lora --base FILE [--config FILE] [--key value ...]`.

`accelerate launch -m trainers.hand_lora ...` shares each step between processes, on one card each.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from fairhands.adapters.base import load_base
from fairhands.adapters.export import save
from fairhands.adapters.lora import LoraAdapter
from fairhands.base_models import BaseModel, fingerprint
from fairhands.sliders.checks import check
from fairhands.sliders.settings import Settings
from fairhands.sliders.training import Slider
from fairhands.training.configuration import from_command_line
from fairhands.training.loop import Loop
from fairhands.training.processes import device
from fairhands.training.program import command
from fairhands.training.training_program import run

PROGRAM = "python -m trainers.hand_lora"
PURPOSE = "Train a hand LoRA, a slider toward natural hands for FairHands' textual guidance, from prompts alone."
FILE = "hand_lora.safetensors"
OUT_OF_MEMORY = (
    "lower the prompts' resolution, training.batch or network.rank, set training.checkpointing = true, base_precision "
    "= 8bit or training.optimiser = adamw8bit, or close other programs that use the card"
)


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    file = settings.output / FILE

    def prepare() -> Slider:
        check(settings, file, device())
        return new_slider(settings)

    run(PROGRAM, file, OUT_OF_MEMORY, prepare, train)


def new_slider(settings: Settings) -> Slider:
    """The base model with a new LoRA on it, and what it is to learn.

    Raises:
        BaseModelError: there is no such base model.
        ValueError: the base model does not know a prompt, or cannot make pictures of that size.
        ImportError: a package is missing that 8 bits or the prompts need.
    """
    base = load_base(settings)
    torch.manual_seed(settings.seed)
    adapter = LoraAdapter(base, settings.network).to(base.device)
    if settings.training.checkpointing:
        adapter.use_checkpointing()
    return Slider(base, adapter, settings, fingerprint(settings.base_path))


def train(slider: Slider) -> dict[str, float]:
    """Train the LoRA from its last checkpoint if there is one, and write its file and sample sheets; figures."""
    settings = slider.settings
    loop = Loop(
        slider.adapter,
        settings.training,
        settings.seed,
        settings.output,
        "hand_lora",
        beside=slider.starts,
        optimiser=settings.training.new_optimiser,
    )

    def sample(step: int) -> None:
        with loop.averaged.in_place():
            slider.write_samples(settings.output / "samples" / f"hand_lora_{step:06}.png")

    loop.run(slider.losses, sample, sample_first=True)
    if loop.is_main:
        save(slider.adapter, settings.output / FILE, _made_by(settings, slider.base), title="Hand LoRA")
        slider.write_samples(settings.output / "samples" / f"hand_lora_{loop.step:06}.png")
    return {"steps": loop.step} | ({"loss": loop.curve[-1][1]} if loop.curve else {})


def _made_by(settings: Settings, base: BaseModel) -> dict[str, Any]:
    return {
        "command": command(PROGRAM),
        "seed": settings.seed,
        "steps": settings.training.steps,
        "base": Path(settings.base).name,
        "base_family": base.family,
        "prompts": [pair.model_dump(mode="json") for pair in settings.pairs],
        "settings": settings.model_dump(mode="json", exclude={"output", "prompts"}),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
