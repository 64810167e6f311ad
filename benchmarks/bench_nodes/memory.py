"""The most memory that was in use at once: allocated on a GPU, else resident in this process."""

import re
from pathlib import Path

import comfy.model_management
import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"


def forget_peak() -> None:
    """Count the peak from here on."""
    if _on_gpu():
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR.exists():
        CLEAR.write_text(FORGET_PEAK)


def peak() -> int:
    """Bytes at the peak; 0 where the system does not tell."""
    if _on_gpu():
        return torch.cuda.max_memory_allocated()
    found = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(found[1]) * 1024 if found else 0


def _on_gpu() -> bool:
    return comfy.model_management.get_torch_device().type == "cuda"
