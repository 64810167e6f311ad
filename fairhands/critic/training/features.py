"""A frozen backbone's features of all crops, computed once and kept in a file."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ...training import checkpoint
from ...training.processes import state
from ..network import Critic
from .pairs import Pairs

AT_ONCE = 64
FILE = "features.bin"
DONE = "features.done"


def cached_features(critic: Critic, pairs: Pairs, folder: Path) -> Tensor:
    """The features of each crop, float16 [crops, maps, channels, positions], on disk and mapped into memory.

    They are computed where the file does not hold them yet; the maps must be of one shape, as a transformer's are.

    Args:
        critic: on any device; its backbone is frozen.
        pairs: whose crops.
        folder: where the file is kept. A crop's features take 0.75 MB for a ViT-S/16.
    """
    first = _features(critic, pairs, range(1))
    shape = (pairs.crops, *first.shape[1:])
    made_of = f"{shape} {critic.config!r} {_digest(pairs)} {hashlib.sha256(first.numpy().tobytes()).hexdigest()}"
    with state().main_process_first():
        size = torch.Size(shape).numel()
        kept = torch.from_file(str(folder / FILE), shared=True, size=size, dtype=torch.float16).view(shape)
        checkpoint.cached(folder / DONE, made_of, lambda: _fill(kept, critic, pairs))
    return kept


def _fill(kept: Tensor, critic: Critic, pairs: Pairs) -> dict[str, Tensor]:
    for start in tqdm(range(0, pairs.crops, AT_ONCE), desc="caching features", unit="batch"):
        rows = range(start, min(start + AT_ONCE, pairs.crops))
        kept[start : rows.stop] = _features(critic, pairs, rows)
    return {}


@torch.no_grad()
def _features(critic: Critic, pairs: Pairs, rows: range) -> Tensor:
    device = next(critic.parameters()).device
    crops = torch.stack([pairs.crop(row) for row in rows]).to(device) / 255
    return torch.stack(critic.features(crops), dim=1).half().cpu()


def _digest(pairs: Pairs) -> str:
    """Tells crops of other pictures by the first, middle and last one."""
    rows = sorted({0, pairs.crops // 2, pairs.crops - 1})
    return hashlib.sha256(b"".join(pairs.crop(row).numpy().tobytes() for row in rows)).hexdigest()
