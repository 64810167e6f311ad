import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairhands.base_models.process import Diffusion, Flow, Process
from fairhands.base_models.shapes import SD15
from fairhands.sliders.loss import Prompts, Start, base_predictions, prompts_of, slider_losses, wanted
from tests.adapters.bases import FAMILIES
from tests.sliders.conftest import NewWorld, World

PROCESSES = {
    "noise": Diffusion(SD15.kept(), "noise"),
    "velocity": Diffusion(SD15.kept(), "velocity"),
    "flow": Flow(3.0),
}


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def started(world: World, batch: int = 2) -> tuple[Start, Prompts]:
    noised = numbers(1, batch, world.base.latent_channels, 8, 8)
    start = Start(noised, torch.linspace(0.3, 0.8, batch))
    return start, prompts_of(world.examples(batch), world.texts, world.base.device)


@given(st.sampled_from(sorted(PROCESSES)), st.floats(0.05, 0.95), st.floats(0.1, 8), st.integers(0, 10**6))
def test_it_is_the_same_aim_whatever_a_network_predicts(name: str, time: float, eta: float, seed: int) -> None:
    """Noise, velocity and flow all stand for a clean latent; the aim may be built of those just as well."""
    process: Process = PROCESSES[name]
    noised, *predicted = numbers(seed, 4, 1, 4, 3, 3).double().split(1)
    noised, predicted = noised[0], [one[0] for one in predicted]
    at, etas = torch.tensor([time]), torch.tensor([eta], dtype=torch.float64)
    aim = process.clean(noised, at, wanted(*predicted, etas))
    clean = [process.clean(noised, at, one) for one in predicted]
    torch.testing.assert_close(aim, wanted(*clean, etas), rtol=1e-4, atol=1e-3)


def test_the_aim_lies_beyond_the_neutral_prediction_toward_the_positive_one() -> None:
    neutral, positive, negative = (torch.full((2, 1, 1, 1), value) for value in (1.0, 5.0, 3.0))
    assert wanted(neutral, positive, negative, torch.tensor([1.0, 4.0])).flatten().tolist() == [3.0, 9.0]


@given(st.floats(0.1, 8), st.integers(0, 10**6))
def test_swapped_ends_lead_the_other_way(eta: float, seed: int) -> None:
    neutral, positive, negative = numbers(seed, 3, 2, 4, 3, 3)
    etas = torch.full((2,), eta)
    there, back = wanted(neutral, positive, negative, etas), wanted(neutral, negative, positive, etas)
    torch.testing.assert_close(there + back, 2 * neutral, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(wanted(neutral, positive, positive, etas), neutral)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_predicts_without_the_lora_and_without_gradients(family: str, new_world: NewWorld) -> None:
    world = new_world(family)
    start, prompts = started(world)
    found = base_predictions(world.base, world.adapter, start, prompts)
    with world.adapter.scaled(0), torch.no_grad():
        texts = (prompts.neutral, prompts.positive, prompts.negative)
        apart = [world.base.predict(start.noised, start.times, text) for text in texts]
    for together, alone in zip(found, apart, strict=True):
        assert not together.requires_grad
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert world.adapter.scale == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_that_changes_nothing_has_all_yet_to_learn(family: str, new_world: NewWorld) -> None:
    world = new_world(family, changed=False)
    start, prompts = started(world)
    losses = slider_losses(world.base, world.adapter, start, prompts)
    _, positive, negative = base_predictions(world.base, world.adapter, start, prompts)
    expected = (4 * (positive - negative)).square().mean()
    torch.testing.assert_close(losses["loss"], expected, rtol=1e-4, atol=1e-6)
    assert losses["remaining"].item() == pytest.approx(1, abs=1e-3)


def test_only_the_lora_gets_gradients(new_world: NewWorld) -> None:
    world = new_world()
    slider_losses(world.base, world.adapter, *started(world))["loss"].backward()
    own = {id(weight) for weight in world.adapter.parameters()}
    assert all(weight.grad is None for weight in world.base.denoiser.parameters() if id(weight) not in own)
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in world.adapter.parameters())


def test_examples_count_by_their_shares(new_world: NewWorld) -> None:
    world = new_world()
    start, prompts = started(world)
    each = [
        slider_losses(
            world.base,
            world.adapter,
            Start(start.noised[row : row + 1], start.times[row : row + 1]),
            prompts_of(world.examples(1), world.texts, world.base.device),
        )["loss"]
        for row in range(2)
    ]
    weighted = slider_losses(world.base, world.adapter, start, prompts._replace(share=torch.tensor([0.2, 0.7])))
    torch.testing.assert_close(weighted["loss"], 0.2 * each[0] + 0.7 * each[1], rtol=1e-3, atol=1e-6)


def test_training_lowers_what_remains(new_world: NewWorld) -> None:
    world = new_world("SD 1.5", changed=False, rank=8, alpha=8)
    torch.manual_seed(0)
    for name, weight in world.adapter.named_parameters():
        if "lora_down" in name:
            torch.nn.init.kaiming_uniform_(weight)
    start, prompts = started(world)
    optimiser = torch.optim.AdamW(world.adapter.parameters(), 1e-2)
    remaining = []
    for _ in range(60):
        optimiser.zero_grad()
        losses = slider_losses(world.base, world.adapter, start, prompts)
        losses["loss"].backward()
        optimiser.step()
        remaining.append(losses["remaining"].item())
    assert remaining[-1] < 0.3 * remaining[0]
