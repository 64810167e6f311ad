import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fairhands.fairness.step import FairBackward
from fairhands.fairness.strategies import new_strategy
from fairhands.training.draw import Draw
from fairhands.training.loop import Loop, LoopSettings, Losses
from tests.fairness.layers import OBJECTIVES, network

ROOT = Path(__file__).parents[2]
LAUNCH = "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 --main_process_port 0"
TWO_PROCESSES = """
import sys
from pathlib import Path

import torch

from fairhands.training.processes import state
from tests.fairness.test_step_in_training import train

for name in ("mpd", "uncertainty", "refreshed"):
    folder = Path(sys.argv[1]) / name
    torch.save(train(folder, name, batch=4), folder / f"{state().process_index}.pt")
"""


def train(folder: Path, name: str, batch: int, stop_after: int | None = None, **changes) -> dict[str, Tensor]:
    """The weights, and what the way backward remembers, after eight steps; only some examples have a hand."""
    model = network()
    refreshed = name == "refreshed"

    def backward(weights: list[nn.Parameter]) -> FairBackward:
        strategy = new_strategy("mpd" if refreshed else name, 3)
        return FairBackward(weights, OBJECTIVES, strategy, refresh_every=3 if refreshed else 1)

    values = {"learning_rate": 0.05, "warm_up": 0, "precision": "fp32", "log_every": 1, "save_every": 3, "average": 0.9}
    settings = LoopSettings(steps=8, batch=batch, **{**values, **changes})
    loop, seen = Loop(model, settings, 0, folder, "layers", backward=backward), iter(range(1000))

    def own(draw: Draw) -> Losses:
        if next(seen) == stop_after:
            raise KeyboardInterrupt
        values = draw.normal(6)
        hands = values[:, 0] > 1
        error = (model(values) - values.roll(1, dims=1)).square()
        found = {"global": error.mean(), "hand": torch.zeros(()), "face": 0.1 * error[:, 3].mean()}
        if hands.any():
            found["hand"] = (error[:, :2].mean(dim=1) * hands).mean()
        return {"loss": found["global"], **found}

    return {**loop.run(own).state_dict(), **loop.backward.state_dict()}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    program = folder / "program.py"
    program.write_text(TWO_PROCESSES)
    command = [sys.executable, "-m", *LAUNCH.split(), str(program), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["mpd", "uncertainty", "refreshed"])
def test_two_processes_train_as_one_with_twice_the_batch(name: str, tmp_path: Path, two_processes: Path) -> None:
    one = train(tmp_path, name, batch=8)
    first, second = (torch.load(two_processes / name / f"{process}.pt") for process in (0, 1))
    assert len(one) > len(OBJECTIVES)
    for weight in one:
        assert torch.equal(first[weight], second[weight])
        torch.testing.assert_close(first[weight], one[weight], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mpd", "uncertainty", "refreshed"])
def test_a_stopped_training_goes_on_exactly(name: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", name, batch=8)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", name, batch=8, stop_after=5)
    resumed = train(tmp_path / "stopped", name, batch=8)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
