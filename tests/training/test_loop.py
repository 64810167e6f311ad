from pathlib import Path

import pytest
import torch
from torch import nn

from fairhands.training.checkpoint import CheckpointError
from fairhands.training.loop import Loop, LoopSettings, Losses, pace


def settings(steps: int, **changes) -> LoopSettings:
    return LoopSettings(steps=steps, batch=4, learning_rate=0.3, warm_up=2, average=0.9, save_every=5, **changes)


def train(folder: Path, stop_after: int | None = None, seed: int = 0) -> tuple[nn.Module, list[float]]:
    """Fit a line for 12 steps, or be stopped in the middle of one."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    loop, seen = Loop(network, settings(12), seed, folder, "line"), []

    def losses(generator: torch.Generator) -> Losses:
        if len(seen) == stop_after:
            raise KeyboardInterrupt
        inputs = torch.randn(4, 3, generator=generator)
        loss = (network(inputs).float() - inputs.sum(dim=1, keepdim=True)).square().mean()
        seen.append(loss.item())
        return {"loss": loss}

    return loop.run(losses), seen


def test_a_stopped_training_goes_on_exactly_where_its_checkpoint_was(tmp_path: Path) -> None:
    whole, losses = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=7)
    resumed, rest = train(tmp_path / "stopped")
    assert rest == losses[5:]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])


def test_training_lowers_the_loss_and_keeps_the_average_of_the_weights(tmp_path: Path) -> None:
    averaged, losses = train(tmp_path)
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert not averaged.training


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, _ = train(tmp_path)
    again, losses = train(tmp_path)
    assert losses == []
    assert torch.equal(first.weight, again.weight)


def test_another_seed_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(CheckpointError, match="trained with seed 0, not 1: give that seed, or another output folder"):
        train(tmp_path, seed=1)


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
