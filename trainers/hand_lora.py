"""Train a hand LoRA from prompts alone: `python -m trainers.hand_lora --base FILE [--config FILE] [--key value ...]`.

`accelerate launch -m trainers.hand_lora ...` shares each step between processes, on one card each.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from fairhands import base_models
from fairhands.adapters.eight_bit import in_eight_bits
from fairhands.adapters.export import save
from fairhands.adapters.lora import LoraAdapter
from fairhands.base_models import BaseModel, folder
from fairhands.sliders.checks import check
from fairhands.sliders.settings import Settings
from fairhands.sliders.training import Slider
from fairhands.training.configuration import from_command_line
from fairhands.training.loop import Loop
from fairhands.training.optimisers import new_optimiser
from fairhands.training.processes import device, end, state
from fairhands.training.program import stop

PROGRAM = "python -m trainers.hand_lora"
PURPOSE = "Train a hand LoRA, a slider toward natural hands for FairHands' textual guidance, from prompts alone."
FILE = "hand_lora.safetensors"
OUT_OF_MEMORY = (
    "too little memory: lower the prompts' resolution, training.batch or network.rank, set training.checkpointing = "
    "true, base_precision = 8bit or training.optimiser = adamw8bit, or close other programs that use the card"
)
TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory")  # as PyTorch says it
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    goes_on = f"the same command goes on from the last checkpoint in {settings.output}"
    try:
        check(settings, settings.output / FILE, device())
        slider = new_slider(settings)
    except KeyboardInterrupt:
        stop(PROGRAM, 130, "stopped before the training began")
    except (ValueError, OSError, ImportError) as error:
        stop(PROGRAM, 2, str(error))
    except RuntimeError as error:
        _stop_without_memory(error)
    try:
        figures = train(slider)
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; {goes_on}")
    except (ValueError, OSError) as error:
        stop(PROGRAM, 1, str(error))
    except RuntimeError as error:
        _stop_without_memory(error)
    if state().is_main_process:
        print(f"{settings.output / FILE}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items()))
    end()


def new_slider(settings: Settings) -> Slider:
    """The base model with a new LoRA on it, and what it is to learn.

    Raises:
        BaseModelError: there is no such base model.
        ValueError: the base model does not know a prompt, or cannot make pictures of that size.
        ImportError: a package is missing that 8 bits or the prompts need.
    """
    path = _base_path(settings)
    base = base_models.load(path, device(), _dtype(settings), config=settings.base_config, predicts=settings.predicts)
    if settings.base_precision == "8bit":
        in_eight_bits(base)
    torch.manual_seed(settings.seed)
    adapter = LoraAdapter(base, settings.network).to(base.device)
    if settings.training.checkpointing:
        adapter.use_checkpointing()
    return Slider(base, adapter, settings, base_models.fingerprint(path))


def train(slider: Slider) -> dict[str, float]:
    """Train the LoRA from its last checkpoint if there is one, and write its file and sample sheets; figures."""
    settings = slider.settings
    training = settings.training

    def optimiser(weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        rate, decay = training.learning_rate, training.weight_decay
        return new_optimiser(training.optimiser, weights, rate, weight_decay=decay)

    loop = Loop(
        slider.adapter,
        training,
        settings.seed,
        settings.output,
        "hand_lora",
        beside=slider.starts,
        optimiser=optimiser,
    )

    def sample(step: int) -> None:
        with loop.averaged.in_place():
            slider.write_samples(settings.output / "samples" / f"hand_lora_{step:06}.png")

    if loop.is_main and loop.step == 0:
        sample(0)  # too little memory shows here, not after hours
    loop.run(slider.losses, sample)
    if loop.is_main:
        save(slider.adapter, settings.output / FILE, _made_by(settings, slider.base), title="Hand LoRA")
        slider.write_samples(settings.output / "samples" / f"hand_lora_{loop.step:06}.png")
    return {"steps": loop.step} | ({"loss": loop.curve[-1][1]} if loop.curve else {})


def _base_path(settings: Settings) -> Path:
    given = Path(settings.base)
    return given if given.exists() else folder.fetched(settings.base, settings.allow_download)


def _dtype(settings: Settings) -> torch.dtype:
    if settings.base_precision in DTYPES:
        return DTYPES[settings.base_precision]
    if device().type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _stop_without_memory(error: RuntimeError) -> NoReturn:
    """Say what takes less memory; any other error is raised as it is."""
    if not any(words in str(error) for words in TOO_LITTLE):
        raise error
    stop(PROGRAM, 1, OUT_OF_MEMORY)


def _made_by(settings: Settings, base: BaseModel) -> dict[str, Any]:
    return {
        "command": f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip(),
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
