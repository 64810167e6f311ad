"""Several processes that train one network together; `accelerate launch` starts them."""

from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed
from accelerate import PartialState
from torch import Tensor, nn

LONGEST_WAIT = timedelta(days=30)  # for processes that do what the others wait for: detecting, drawing, caching


def device() -> torch.device:
    """What this process computes on: an NVIDIA card of its own where there is one, else the processor."""
    return torch.device(state().device or "cpu")


def state() -> PartialState:
    """Which of how many processes this is, and the device that it computes on."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def end() -> None:
    """Say at the program's end that the processes no longer work together."""
    state().destroy_process_group()


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, which must all call this with tensors of the same shapes."""
    processes = state().num_processes
    own = list(tensors)
    if processes == 1 or not own:
        return
    waiting = [torch.distributed.all_reduce(tensor, async_op=True) for tensor in own]
    for work in waiting:
        if work is not None:
            work.wait()
    for tensor in own:
        tensor /= processes


def average_buffers(network: nn.Module) -> None:
    """Average what all processes' pictures left in the network's buffers, such as the statistics of batches."""
    average(buffer for buffer in network.buffers() if buffer.is_floating_point())


def total(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, which must all call this with tensors of the same shapes."""
    if state().num_processes > 1:
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)
