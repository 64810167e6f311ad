"""What the trainers' programs share: how they end, and where they compute."""

import sys
from typing import NoReturn

import torch

from . import processes


def stop(program: str, status: int, sentence: str) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"{program}: {sentence}", file=sys.stderr)
    sys.exit(status)


def device() -> torch.device:
    """An NVIDIA card where there is one, each process its own, else the processor."""
    return processes.state().device
