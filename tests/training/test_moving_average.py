import pytest
import torch
from torch import nn

from fairhands.training.moving_average import MovingAverage, trained_state


def set_to(network: nn.Linear, value: float) -> None:
    with torch.no_grad():
        network.weight.fill_(value)


def test_the_average_follows_faster_in_the_beginning_and_then_by_its_decay() -> None:
    network = nn.Linear(1, 1, bias=False)
    set_to(network, 0.0)
    average = MovingAverage(network, 0.9)
    set_to(network, 1.0)
    average.follow(1)  # (1 + 1) / (10 + 1) of the old
    assert average.weights["weight"].item() == pytest.approx(1 - 2 / 11)
    set_to(network, 0.0)
    average.follow(10**6)
    assert average.weights["weight"].item() == pytest.approx(0.9 * (1 - 2 / 11))


def test_without_decay_the_average_equals_the_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0.0)
    for step in range(1, 4):
        set_to(network, float(step))
        average.follow(step)
        assert average.weights["weight"].item() == step


def test_in_place_gives_the_average_and_then_the_weights_back() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)).train()
    average = MovingAverage(network, 0.5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    average.weights["0.weight"].fill_(7.0)
    with average.in_place():
        assert network[0].weight.item() == 7.0
        assert not network.training
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_frozen_weights_are_not_followed() -> None:
    network = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.BatchNorm1d(1))
    assert "0.weight" not in trained_state(network)
    assert {"1.weight", "1.running_mean", "1.num_batches_tracked"} <= set(trained_state(network))
    assert set(MovingAverage(network, 0.5).weights) == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}
