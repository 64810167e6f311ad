"""Where the pairs that a critic is trained on come from: drawn, estimated by the mannequin model, or prepared."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...data.mannequin import DATA_VERSION
from ...data.prepared import PreparedHands
from ...mannequin_world import file
from ...training import checkpoint
from ...training.configuration import Configuration
from ...training.processes import state
from ..config import CriticConfig
from .mannequin_pairs import MannequinPairs
from .pairs import DrawnPairs
from .prepared_pairs import PreparedPairs
from .studio_pairs import studio_pairs

MOST_PAIRS = 1_000_000
FIRST_HELD_OUT_SEED = 10**12  # beyond every training seed
DRAWN_AT_ONCE = 20


class Drawn(Configuration):
    """The drawn hands that are learnt from."""

    pairs: int = Field(
        default=1200,
        ge=1,
        le=MOST_PAIRS,
        description="Drawn pairs to train on: a scene with a right and a malformed hand.",
    )
    held_out_pairs: int = Field(
        default=140,
        ge=1,
        le=MOST_PAIRS,
        description="Other drawn pairs, never trained on, to measure the result with.",
    )
    drawn_size: int = Field(default=96, ge=64, description="Side of the drawn pictures in pixels, before cropping.")
    model: Path | None = Field(
        default=None,
        description="A mannequin model's file: draw studio hands, and see its estimates of them too.",
    )
    estimates: int = Field(
        default=2, ge=0, description="How often each pair is seen as the model estimates it, beside as it was drawn."
    )
    lowest_level: float = Field(default=0.1, ge=0, le=1, description="Lowest noise level of those estimates.")
    highest_level: float = Field(default=0.7, ge=0, le=1, description="Highest noise level of those estimates.")


def drawn_pairs(
    drawn: Drawn, seed: int, config: CriticConfig, folder: Path, workers: int
) -> tuple[DrawnPairs, DrawnPairs]:
    """Drawn pairs to train on and to hold out, drawn once and kept in a folder; the same ones for the same seed."""
    with state().main_process_first():
        return (
            _kept(drawn, seed * MOST_PAIRS, drawn.pairs, config, folder / "pairs.pt", workers),
            _kept(drawn, FIRST_HELD_OUT_SEED, drawn.held_out_pairs, config, folder / "held_out.pt", workers),
        )


def prepared_pairs(
    folders: Sequence[Path], config: CriticConfig, held_out: float
) -> tuple[PreparedPairs, PreparedPairs]:
    """Prepared pairs to train on and to hold out.

    Raises:
        PreparedHandsError: a folder holds none, or is damaged.
        ValueError: no pair is left on one of the sides.
    """
    hands = [PreparedHands(folder) for folder in folders]
    return PreparedPairs(hands, config, False, held_out), PreparedPairs(hands, config, True, held_out)


def _kept(drawn: Drawn, first_seed: int, count: int, config: CriticConfig, path: Path, workers: int) -> DrawnPairs:
    made_of = f"data {DATA_VERSION}, {count} from seed {first_seed}, {drawn!r}, {config.input_size}, {config.margin}"
    return DrawnPairs(**checkpoint.cached(path, made_of, lambda: _draw(drawn, first_seed, count, config, workers)))


def _draw(drawn: Drawn, first_seed: int, count: int, config: CriticConfig, workers: int) -> dict[str, torch.Tensor]:
    if drawn.model is not None:
        levels = drawn.lowest_level, drawn.highest_level
        model = file.read(drawn.model)
        return studio_pairs(first_seed, count, config, model, drawn.estimates, levels, workers)._asdict()
    pairs = MannequinPairs(first_seed, count, drawn.drawn_size, config.input_size, config.margin)
    loader = DataLoader(pairs, batch_size=DRAWN_AT_ONCE, num_workers=workers)
    parts = list(tqdm(loader, desc="drawing hands", unit="batch"))
    return {"pairs": torch.cat([part for part, _ in parts]), "kinds": torch.cat([kinds for _, kinds in parts])}
