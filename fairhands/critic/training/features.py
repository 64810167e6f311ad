"""A frozen backbone's features of all crops, computed once and kept in a file."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ...training.processes import state
from ...whole_files import opened_whole, write_whole
from ..network import Critic
from .pairs import Pairs

AT_ONCE = 64
FILE = "features.bin"
MADE_OF = "features.made_of"


def cached_features(critic: Critic, pairs: Pairs, folder: Path) -> Tensor:
    """The features of each crop, float16 [crops, maps, channels, positions], in a file mapped into memory.

    They are computed where there is no such file yet; the maps must be of one shape, as a transformer's are.

    Args:
        critic: on any device; its backbone is frozen.
        pairs: whose crops.
        folder: where the file is kept. A crop's features take 0.75 MB for a ViT-S/16.

    Raises:
        OSError: the file cannot be written, for a full disk; nothing of it is left.
    """
    first = _features(critic, pairs, range(1))
    shape = torch.Size((pairs.crops, *first.shape[1:]))
    made_of = f"{shape} {critic.config!r} {_digest(pairs)} {hashlib.sha256(first.numpy().tobytes()).hexdigest()}"
    record = folder / MADE_OF
    with state().main_process_first():
        if not record.is_file() or record.read_text(encoding="utf-8") != made_of:
            record.unlink(missing_ok=True)
            _write(folder / FILE, critic, pairs)
            write_whole(record, made_of.encode())
    return torch.from_file(str(folder / FILE), size=shape.numel(), dtype=torch.float16).view(shape)


def _write(path: Path, critic: Critic, pairs: Pairs) -> None:
    with opened_whole(path) as file:
        for start in tqdm(range(0, pairs.crops, AT_ONCE), desc="caching features", unit="batch"):
            rows = range(start, min(start + AT_ONCE, pairs.crops))
            file.write(_features(critic, pairs, rows).numpy().tobytes())


@torch.no_grad()
def _features(critic: Critic, pairs: Pairs, rows: range) -> Tensor:
    device = next(critic.parameters()).device
    crops = torch.stack([pairs.crop(row) for row in rows]).to(device) / 255
    return torch.stack(critic.features(crops), dim=1).half().cpu()


def _digest(pairs: Pairs) -> str:
    """Tells crops of other pictures by the first, middle and last one."""
    rows = sorted({0, pairs.crops // 2, pairs.crops - 1})
    return hashlib.sha256(b"".join(pairs.crop(row).numpy().tobytes() for row in rows)).hexdigest()
