import logging

import pytest
import torch
from torch import Tensor, nn

from fairhands.fairness.mpd import mpd_weights, rescaled
from fairhands.fairness.step import FairBackward
from fairhands.fairness.strategies import Strategy, StrategyError, Uncertainty, new_strategy
from tests.fairness.layers import OBJECTIVES, inputs, losses, network


def new_backward(of: nn.Module, strategy: str = "mpd", **options) -> FairBackward:
    fixed = (1, 5, 2) if strategy == "fixed" else ()
    return FairBackward(list(of.parameters()), OBJECTIVES, new_strategy(strategy, 3, fixed), **options)


def gradient(of: nn.Module) -> Tensor:
    return torch.cat([w.grad.double().flatten() for w in of.parameters() if w.grad is not None])


def jacobian(of: nn.Module, values: Tensor, present: tuple[bool, ...] = (True, True, True)) -> Tensor:
    """Each objective's gradient, flattened, by a forward pass of its own."""
    rows = []
    for name in OBJECTIVES:
        of.zero_grad()
        loss = losses(of, values, present)[name]
        if loss.requires_grad:
            loss.backward()
            rows.append(gradient(of))
        else:
            rows.append(torch.zeros(126, dtype=torch.float64))
    of.zero_grad()
    return torch.stack(rows)


def fair(rows: Tensor) -> Tensor:
    return rescaled(mpd_weights(rows @ rows.T), rows @ rows.T)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_is_the_weighted_sum_of_all_objectives(batched: bool, checkpointing: bool) -> None:
    model = network(checkpointing)
    rows = jacobian(model, inputs())
    backward = new_backward(model, batched=batched)
    backward.add(losses(model, inputs()), 1.0)
    backward.finish()
    torch.testing.assert_close(gradient(model), fair(rows) @ rows, rtol=1e-4, atol=1e-6)
    assert model.unused.weight.grad is None


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("strategy", ["mpd", "mpd_closed_form", "sum", "uncertainty", "dwa", "fixed"])
@pytest.mark.parametrize("refresh_every", [1, 2])
def test_accumulated_passes_make_the_step_of_one_large_batch(strategy: str, batched: bool, refresh_every: int) -> None:
    whole, parts = network(), network()
    one = new_backward(whole, strategy, batched=batched, refresh_every=refresh_every)
    many = new_backward(parts, strategy, batched=batched, refresh_every=refresh_every)
    for step in range(3):
        whole.zero_grad()
        parts.zero_grad()
        one.add(losses(whole, inputs(seed=step)), 1.0)
        for part in inputs(seed=step).split(2):
            many.add(losses(parts, part), 0.25)
        one.finish()
        many.finish()
        torch.testing.assert_close(gradient(parts), gradient(whole), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(many.factors, one.factors, rtol=1e-4, atol=0)


@pytest.mark.parametrize("present", [(True, False, True), (True, False, False), (False, True, True)])
def test_an_absent_objective_is_left_out(present: tuple[bool, ...]) -> None:
    model = network()
    rows = jacobian(model, inputs(), present)
    backward = new_backward(model)
    backward.add(losses(model, inputs(), present), 1.0)
    figures = backward.finish()
    torch.testing.assert_close(gradient(model), fair(rows) @ rows, rtol=1e-4, atol=1e-6)
    assert [float(figures[f"present/{name}"]) for name in OBJECTIVES] == list(present)
    assert all(figures[f"weight/{name}"] == 0 for name, here in zip(OBJECTIVES, present, strict=True) if not here)


def test_an_objective_that_is_in_one_pass_only_counts() -> None:
    model = network()
    backward = new_backward(model)
    backward.add(losses(model, inputs(4, 1), (True, False, False)), 0.5)
    backward.add(losses(model, inputs(4, 2)), 0.5)
    backward.finish()
    rows = jacobian(model, inputs(4, 2)) / 2
    rows[0] += jacobian(model, inputs(4, 1))[0] / 2
    model.zero_grad()
    again = new_backward(model)
    again.add(losses(model, inputs(4, 2)), 0.5)
    again.add(losses(model, inputs(4, 1), (True, False, False)), 0.5)
    again.finish()
    torch.testing.assert_close(gradient(model), fair(rows) @ rows, rtol=1e-4, atol=1e-6)


def test_a_step_without_any_objective_leaves_no_gradient() -> None:
    model = network()
    backward = new_backward(model)
    backward.add(losses(model, inputs(), (False, False, False)), 1.0)
    figures = backward.finish()
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(bool(value) for value in figures.values())


def test_a_gradient_that_is_not_finite_is_named_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    rows = jacobian(model, inputs(), (True, False, True))
    backward = new_backward(model)
    broken = losses(model, inputs())
    with caplog.at_level(logging.WARNING):
        backward.add({**broken, "hand": broken["hand"] * torch.inf}, 1.0)
        figures = backward.finish()
    assert caplog.messages == ["the step is without the objective hand, whose gradient is not finite"]
    torch.testing.assert_close(gradient(model), fair(rows) @ rows, rtol=1e-4, atol=1e-6)
    assert all(value.isfinite() for value in figures.values())


def test_a_loss_scale_changes_neither_weights_nor_the_unscaled_gradient() -> None:
    model, scaled = network(), network()
    plain, scaler = new_backward(model), torch.amp.GradScaler("cpu", init_scale=2.0**14)
    optimiser = torch.optim.SGD(scaled.parameters(), 1.0)
    backward = new_backward(scaled, scaler=scaler)
    plain.add(losses(model, inputs()), 1.0)
    backward.add(losses(scaled, inputs()), 1.0)
    expected, found = plain.finish(), backward.finish()
    assert gradient(scaled).norm() > 2.0**13 * gradient(model).norm()
    scaler.unscale_(optimiser)
    torch.testing.assert_close(gradient(scaled), gradient(model))
    torch.testing.assert_close(found, expected)


def test_an_overflow_is_left_for_the_scaler_to_find() -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu", init_scale=2.0**14)
    before = [weight.detach().clone() for weight in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), 1.0)
    backward = new_backward(model, scaler=scaler)
    broken = losses(model, inputs())
    backward.add({**broken, "hand": broken["hand"] * torch.inf}, 1.0)
    backward.finish()
    scaler.step(optimiser)
    scaler.update()
    assert scaler.get_scale() == 2.0**13
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_weights_in_bfloat16_are_trained_alike() -> None:
    model, small = network(), network(kind=torch.bfloat16)
    one, other = new_backward(model), new_backward(small)
    one.add(losses(model, inputs()), 1.0)
    other.add(losses(small, inputs().bfloat16()), 1.0)
    one.finish()
    other.finish()
    torch.testing.assert_close(other.factors, one.factors, rtol=0.05, atol=0)
    assert float(torch.cosine_similarity(gradient(small), gradient(model), dim=0)) > 0.999


def passes(of: nn.Module) -> list[int]:
    """Counts backward passes through the network, by one of its layers."""
    seen = [0]
    of.layers[1].register_full_backward_hook(lambda *_: seen.__setitem__(0, seen[0] + 1))
    return seen


def test_between_measured_steps_the_weights_are_used_again_with_one_backward_pass() -> None:
    model = network()
    seen, backward, counts, weights = passes(model), new_backward(model, refresh_every=4), [], []
    for step in range(6):
        model.zero_grad()
        before = seen[0]
        values = losses(model, inputs(seed=step))
        backward.add(values, 1.0)
        backward.finish()
        counts.append(seen[0] - before)
        weights.append(backward.factors.tolist())
    assert counts == [3, 1, 1, 1, 3, 1]
    assert weights[0] == weights[3] != weights[4] == weights[5]
    rows = jacobian(model, inputs(seed=5))
    backward.add(losses(model, inputs(seed=5)), 1.0)
    backward.finish()
    torch.testing.assert_close(gradient(model), backward.factors @ rows, rtol=1e-4, atol=1e-6)


def test_an_objective_that_was_absent_is_measured_when_it_comes() -> None:
    model = network()
    seen, backward, counts = passes(model), new_backward(model, refresh_every=4), []
    for step, hand in enumerate((False, False, True, True, False, True, True)):
        model.zero_grad()
        before = seen[0]
        backward.add(losses(model, inputs(seed=step), (True, hand, False)), 1.0)
        backward.finish()
        counts.append(seen[0] - before)
    assert counts == [1, 1, 2, 1, 1, 1, 2]


def test_an_objective_that_had_no_gradient_when_it_was_measured_keeps_its_weight() -> None:
    model = network()
    backward, factors = new_backward(model, refresh_every=2), []
    for step, hand in enumerate((1.0, 1.0, 0.0, 1.0)):
        model.zero_grad()
        own = losses(model, inputs(seed=step))
        backward.add({**own, "hand": own["hand"] * hand}, 1.0)
        figures = backward.finish()
        factors.append(float(backward.factors[1]))
        assert float(figures["gradient_norm/hand"] > 0) == (step < 2)
    assert factors[0] == factors[3] > 0


def test_losses_of_absent_objectives_are_not_observed() -> None:
    model = network()
    backward = new_backward(model, "uncertainty", refresh_every=0)
    backward.add(losses(model, inputs(), (True, False, True)), 0.5)
    backward.add(losses(model, inputs(), (True, False, False)), 0.5)
    backward.finish()
    expected = Uncertainty(3)
    own = [float(loss.detach()) for loss in losses(model, inputs()).values()]
    expected.observe(torch.tensor([own[0], torch.nan, own[2] / 2], dtype=torch.float64))
    torch.testing.assert_close(backward.strategy.weights(), expected.weights())
    assert backward.strategy.weights()[1] == 0.5


def test_strategies_without_a_gram_matrix_need_one_backward_pass_and_may_be_measured_for_the_log() -> None:
    model = network()
    seen, rows = passes(model), jacobian(network(), inputs())
    for refresh_every, count in ((0, 1), (1, 3)):
        backward = new_backward(model, "fixed", refresh_every=refresh_every)
        seen[0] = 0
        model.zero_grad()
        backward.add(losses(model, inputs()), 1.0)
        figures = backward.finish()
        assert seen[0] == count
        assert ("cosine/hand_face" in figures) == (refresh_every == 1)
        expected = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64) @ rows
        torch.testing.assert_close(gradient(model), expected, rtol=1e-4, atol=1e-6)


def test_the_log_says_what_happened() -> None:
    model = network()
    rows = jacobian(model, inputs())
    backward = new_backward(model)
    backward.add(losses(model, inputs()), 1.0)
    figures = backward.finish()
    weights, norms = fair(rows), rows.norm(dim=1)
    combined = weights @ rows
    for at, name in enumerate(OBJECTIVES):
        assert float(figures[f"weight/{name}"]) == pytest.approx(float(weights[at]), rel=1e-4)
        assert float(figures[f"gradient_norm/{name}"]) == pytest.approx(float(norms[at]), rel=1e-4)
        share = weights[at] * (rows[at] @ combined) / (combined @ combined)
        assert float(figures[f"share/{name}"]) == pytest.approx(float(share), rel=1e-4)
    expected = float(rows[1] @ rows[2] / norms[1] / norms[2])
    assert float(figures["cosine/hand_face"]) == pytest.approx(expected, abs=1e-4)
    assert len(figures) == 4 * 3 + 3


def test_what_does_not_fit_is_refused() -> None:
    model = network()
    with pytest.raises(StrategyError, match=r"objectives should be 2 different names, found \['hand', 'hand'\]"):
        FairBackward(list(model.parameters()), ("hand", "hand"), Strategy(2))
    with pytest.raises(StrategyError, match="refresh_every should be at least 1, found 0"):
        new_backward(model, refresh_every=0)
    with pytest.raises(ValueError, match=r"a scalar for the objective \"hand\", found \['global'\]"):
        new_backward(model).add({"global": torch.zeros(())}, 1.0)
    with pytest.raises(ValueError, match=r"a scalar for the objective \"global\", found shape \[3\]"):
        new_backward(model).add(dict.fromkeys(OBJECTIVES, torch.zeros(3)), 1.0)
