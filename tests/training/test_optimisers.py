import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from fairhands.training import optimisers
from fairhands.training.draw import Draw
from fairhands.training.loop import Loop, LoopSettings, Losses
from fairhands.training.optimisers import Optimiser, OptimiserError, check, new_optimiser

PROCESSOR, CARD = torch.device("cpu"), torch.device("cuda")
HAS_PRODIGY = find_spec("prodigyopt") is not None


def train(folder: Path, name: Optimiser, rate: float, steps: int = 30, stop_after: int | None = None) -> list[float]:
    """Fit a line, or be stopped on the way."""
    torch.manual_seed(0)
    settings = LoopSettings(steps=steps, batch=8, learning_rate=rate, warm_up=2, save_every=10, precision="fp32")
    loop, seen = (
        Loop(
            nn.Linear(3, 1), settings, 0, folder, "line", optimiser=lambda weights: new_optimiser(name, weights, rate)
        ),
        [],
    )

    def losses(draw: Draw) -> Losses:
        if len(seen) == stop_after:
            raise KeyboardInterrupt
        inputs = draw.normal(3)
        loss = (loop.network(inputs) - inputs.sum(dim=1, keepdim=True)).square().mean()
        seen.append(loss.item())
        return {"loss": loss}

    loop.run(losses)
    return seen


def test_adamw_is_what_a_loop_takes_by_itself(tmp_path: Path) -> None:
    own = new_optimiser("adamw", [nn.Parameter(torch.zeros(2))], 0.1, weight_decay=0.2)
    assert isinstance(own, torch.optim.AdamW)
    assert own.param_groups[0]["weight_decay"] == 0.2
    losses = train(tmp_path, "adamw", 0.1)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.skipif(not HAS_PRODIGY, reason="the package prodigyopt is not installed")
def test_prodigy_finds_a_learning_rate_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "prodigy", 1.0, steps=200)
    assert sum(whole[-20:]) < 0.5 * sum(whole[:20])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", "prodigy", 1.0, steps=200, stop_after=77)
    assert train(tmp_path / "stopped", "prodigy", 1.0, steps=200) == whole[70:]


@pytest.mark.parametrize(("name", "package"), [("adamw8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_a_missing_package_is_named(name: Optimiser, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisers, "find_spec", lambda wanted: None)
    with pytest.raises(OptimiserError, match=f"{name} needs the package {package}: pip install {package}, or take"):
        check(name, 1.0, CARD)
    check("adamw", 1e-4, PROCESSOR)


def test_what_an_optimiser_cannot_do_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisers, "find_spec", lambda wanted: sys)
    with pytest.raises(OptimiserError, match="adamw8bit needs an NVIDIA card, found cpu"):
        check("adamw8bit", 1e-4, PROCESSOR)
    check("adamw8bit", 1e-4, CARD)
    with pytest.raises(OptimiserError, match=r"should be about 1, found 0.0002"):
        check("prodigy", 2e-4, PROCESSOR)
    check("prodigy", 1.0, PROCESSOR)
