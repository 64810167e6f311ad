import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fairhands.training.backward import Backward, NewBackward
from fairhands.training.checkpoint import CheckpointError
from fairhands.training.draw import Draw
from fairhands.training.loop import Curve, Loop, LoopSettings, Losses, pace
from tests.made.logged import logged

ROOT = Path(__file__).parents[2]


class Counted(Backward):
    """Lowers a multiple of the loss that grows from step to step."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        super().__init__(weights)
        self.register_buffer("factor", torch.ones(()))

    def add(self, losses: Losses, share: float) -> None:
        super().add({"loss": losses["loss"] * self.factor}, share)

    def finish(self) -> Losses:
        super().finish()
        self.factor += 1
        return {"factor": self.factor.clone()}


LAUNCH = "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 --main_process_port 0"
TWO_PROCESSES = """
import sys
from pathlib import Path

import torch

from fairhands.training.processes import state
from tests.training.test_loop import train

folder = Path(sys.argv[1])
network, seen = train(folder, batch=4)
torch.save(network.weight.detach(), folder / f"{state().process_index}.pt")
"""


def settings(steps: int, **changes) -> LoopSettings:
    values = {"batch": 4, "learning_rate": 0.3, "warm_up": 2, "average": 0.9, "save_every": 5, "log_every": 1}
    return LoopSettings(steps=steps, **{**values, **changes})


def new_loop(folder: Path, seed: int = 0, backward: NewBackward | None = None, **changes) -> Loop[nn.Linear]:
    torch.manual_seed(0)
    return Loop(nn.Linear(3, 1), settings(12, **changes), seed, folder, "line", backward=backward)


def train(
    folder: Path, stop_after: int | None = None, seed: int = 0, backward: NewBackward | None = None, **changes
) -> tuple[nn.Linear, list[float]]:
    """Fit a line for 12 steps, or be stopped in the middle of one."""
    loop, seen = new_loop(folder, seed, backward, precision="fp32", **changes), []

    def losses(draw: Draw) -> Losses:
        if len(seen) == stop_after:
            raise KeyboardInterrupt
        inputs = draw.normal(3)
        loss = (loop.network(inputs) - inputs.sum(dim=1, keepdim=True)).square().mean()
        seen.append(loss.item())
        return {"loss": loss}

    return loop.run(losses), seen


def curve(folder: Path, figure: str = "loss") -> list[tuple[int, float]]:
    """The loss in TensorBoard, or another figure, step by step."""
    return logged(folder / "logs" / "line", figure)


def test_a_stopped_training_goes_on_exactly_where_its_checkpoint_was(tmp_path: Path) -> None:
    whole, losses = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=7)
    resumed, rest = train(tmp_path / "stopped")
    assert rest == losses[5:]
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    assert [step for step, _ in curve(tmp_path / "whole")] == list(range(1, 13))
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])


def test_the_curve_holds_means_also_over_a_stop(tmp_path: Path) -> None:
    _, losses = train(tmp_path / "whole", log_every=4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=7, log_every=4)
    train(tmp_path / "stopped", log_every=4)
    means = [sum(losses[start : start + 4]) / 4 for start in (0, 4, 8)]
    assert [loss for _, loss in curve(tmp_path / "stopped")] == pytest.approx(means)
    loop = new_loop(tmp_path / "stopped", log_every=4)
    assert [step for step, _ in loop.curve] == [4, 8, 12]
    assert [loss for _, loss in loop.curve] == pytest.approx(means)


def test_all_curves_are_kept_also_over_a_stop(tmp_path: Path) -> None:
    def trained(folder: str, stop_after: int | None = None) -> dict[str, Curve]:
        loop, seen = new_loop(tmp_path / folder, precision="fp32", sample_every=5), iter(range(100))

        def losses(draw: Draw) -> Losses:
            if next(seen) == stop_after:
                raise KeyboardInterrupt
            loss = (loop.network(draw.normal(3)) - 1).square().mean()
            return {"loss": loss, "double": 2 * loss.detach()}

        loop.run(losses, lambda step: {"measured": loop.network.weight.sum().item()}, sample_first=True)
        return loop.curves

    whole = trained("whole")
    assert [step for step, _ in whole["measured"]] == [0, 5, 10]
    assert [value for _, value in whole["double"]] == pytest.approx([2 * value for _, value in whole["loss"]])
    assert set(whole) == {"loss", "double", "measured", "learning_rate"}
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", stop_after=5)
    assert trained("stopped") == whole
    assert curve(tmp_path / "stopped", "measured") == curve(tmp_path / "whole", "measured")


def test_another_way_backward_is_used_logged_and_continued(tmp_path: Path) -> None:
    plain, _ = train(tmp_path / "plain")
    whole, losses = train(tmp_path / "whole", backward=Counted, accumulate=2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=14, backward=Counted, accumulate=2)
    resumed, rest = train(tmp_path / "stopped", backward=Counted, accumulate=2)
    assert rest == losses[10:]
    assert torch.equal(resumed.weight, whole.weight)
    assert not torch.equal(plain.weight, whole.weight)
    assert curve(tmp_path / "stopped", "factor") == [(step, step + 1) for step in range(1, 13)]
    with pytest.raises(CheckpointError, match="give the settings that it was begun with"):
        new_loop(tmp_path / "plain", backward=Counted)


def test_training_lowers_the_loss_and_keeps_the_average_of_the_weights(tmp_path: Path) -> None:
    averaged, losses = train(tmp_path)
    last, _ = train(tmp_path / "last", average=0.0)
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert not averaged.training
    assert not torch.equal(averaged.weight, last.weight)


def test_passes_that_are_accumulated_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", batch=8)
    parts, losses = train(tmp_path / "parts", batch=2, accumulate=4)
    assert len(losses) == 12 * 4
    torch.testing.assert_close(parts.weight, whole.weight)
    assert [loss for _, loss in curve(tmp_path / "parts")] == pytest.approx(
        [loss for _, loss in curve(tmp_path / "whole")]
    )


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    one, _ = train(tmp_path / "one", batch=8)
    program = tmp_path / "program.py"
    program.write_text(TWO_PROCESSES)
    command = [sys.executable, "-m", *LAUNCH.split(), str(program), str(tmp_path / "two")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / "two" / f"{process}.pt") for process in (0, 1))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, one.weight.detach())
    assert [loss for _, loss in curve(tmp_path / "two")] == pytest.approx(
        [loss for _, loss in curve(tmp_path / "one")], abs=1e-4
    )


def test_whoever_loads_ahead_sees_the_draws_that_are_trained_on(tmp_path: Path) -> None:
    loop = new_loop(tmp_path, accumulate=2)
    ahead, drawn = loop.passes(), []

    def losses(draw: Draw) -> Losses:
        drawn.append((draw.integers(1000), next(iter(ahead)).integers(1000)))
        return {"loss": loop.network(torch.ones(1, 3)).sum()}

    ahead = iter(ahead)
    loop.run(losses)
    assert len(drawn) == 24
    assert all(torch.equal(seen, expected) for seen, expected in drawn)


def test_frozen_weights_are_not_kept_in_checkpoints(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3).requires_grad_(False), nn.Linear(3, 1))
    Loop(network, settings(2), 0, tmp_path, "line").run(lambda draw: {"loss": network(draw.normal(3)).mean()})
    state = torch.load(tmp_path / "line.checkpoint.pt", weights_only=True)
    assert set(state["network"]) == set(state["averaged"]) == {"1.weight", "1.bias"}


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, _ = train(tmp_path)
    content = (tmp_path / "line.checkpoint.pt").read_bytes()
    again, losses = train(tmp_path)
    assert losses == []
    assert torch.equal(first.weight, again.weight)
    assert (tmp_path / "line.checkpoint.pt").read_bytes() == content


def test_another_seed_or_shape_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(CheckpointError, match="trained with seed 0, not 1: give that seed, or another output folder"):
        train(tmp_path, seed=1)
    with pytest.raises(CheckpointError, match="a network of another shape: give the settings that it was begun with"):
        Loop(nn.Linear(5, 1), settings(12), 0, tmp_path, "line")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "line.checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"line.checkpoint.pt is not a checkpoint .*delete it to start anew"):
        train(tmp_path)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    factors = [pace(step, 10, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0)


def test_the_learning_rate_may_stay_after_the_warm_up(tmp_path: Path) -> None:
    assert [pace(step, 10, 100, "constant") for step in (0, 9, 10, 50, 99)] == [0.1, 1, 1, 1, 1]
    train(tmp_path, decay="constant")
    assert [rate for _, rate in curve(tmp_path, "learning_rate")] == pytest.approx([0.15, *[0.3] * 11])
