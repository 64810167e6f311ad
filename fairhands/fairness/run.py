"""A fair training from its first step, or its last checkpoint, to its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ..adapters.training import AdapterTraining
from ..training.loop import Loop
from .report import last_means, write_report
from .settings import FairSettings, new_fair_backward
from .training import FairTraining

MadeBy = dict[str, Any]


def train_fairly(
    network: nn.Module,
    fair: FairTraining,
    settings: FairSettings,
    training: AdapterTraining,
    file: Path,
    program: str,
    write_samples: Callable[[Path], None],
    save: Callable[[MadeBy], None],
) -> dict[str, float]:
    """Train a network, and write its sample sheets, file and report.

    Args:
        network: what is trained.
        fair: its losses.
        settings: all that is chosen.
        training: of them, those of the training itself.
        file: the network's; checkpoints, logs, samples and report go beside it, under its name.
        program: how the training is started.
        write_samples: writes a sheet of sample pictures.
        save: writes the file, with what made it.

    Returns:
        The steps, and the means of the loss and of the held-out losses over the last tenth of their curves.
    """
    names = settings.objectives.names
    loop = Loop(
        network,
        training,
        settings.seed,
        file.parent,
        file.stem,
        optimiser=training.new_optimiser,
        backward=new_fair_backward(settings.fairness, names),
    )
    fair.load_ahead(loop.passes())

    def sample(step: int) -> dict[str, float]:
        with loop.averaged.in_place():
            write_samples(file.parent / "samples" / f"{file.stem}_{step:06}.png")
            return fair.measure()

    loop.run(fair.losses, sample, sample_first=True)
    if loop.is_main:
        made_by = settings.made_by(program, fair.base, loop.step)
        save(made_by)
        write_report(file.parent, names, loop.curves, {"steps": loop.step, "made_by": made_by})
    last = last_means(loop.curves)
    shown = {name: last[name] for name in ("loss", *(f"held_out/{name}" for name in names)) if name in last}
    return {"steps": loop.step, **shown}
