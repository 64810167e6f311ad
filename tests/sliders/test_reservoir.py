import pytest
import torch

from fairhands.sliders.entries import Entries
from fairhands.sliders.loss import Start
from fairhands.sliders.reservoir import Reservoir
from fairhands.sliders.starts import Sampling
from fairhands.training.draw import draw_of
from tests.sliders.conftest import NewWorld, World

STEPS = 6


def new(world: World, size: int = 8, **changes) -> Reservoir:
    sampling = Sampling(world.base, world.adapter, world.texts, STEPS)
    return Reservoir(sampling, world.entries.all(), size, **changes)


def started(reservoir: Reservoir, entries: Entries, step: int, batch: int = 2, part: int = 0, parts: int = 1) -> Start:
    draw = draw_of(0, step, batch, part, parts)
    return reservoir.start(entries.examples(draw), draw)


def test_at_first_all_stages_are_denoised_by_the_base_model(new_world: NewWorld) -> None:
    world = new_world(changed=False)
    reservoir = new(world, size=10, refresh=0.0)
    started(reservoir, world.entries, 0)
    assert sorted(reservoir.stages[0].tolist()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    noise = torch.randn(reservoir.latents.shape, generator=torch.Generator().manual_seed(0))[0]
    latents, stages = noise, torch.zeros(10, dtype=torch.int64)
    entry = world.entries.all()[0]
    for stage in range(1, STEPS):
        latents = reservoir.sampling.step(latents, stages, [entry] * 10)
        stages = stages + 1
        at_it = reservoir.stages[0] == stage
        torch.testing.assert_close(reservoir.latents[0, at_it], latents[at_it], atol=1e-3, rtol=1e-3)


def test_what_a_pass_learns_at_has_gone_one_stage_further(new_world: NewWorld) -> None:
    world = new_world()
    reservoir = new(world)
    reservoir._fill()
    times = world.base.process.times(STEPS)
    entry = world.entries.all()[0]
    for step in range(30):
        before, stages = reservoir.latents.clone(), reservoir.stages.clone()
        start = started(reservoir, world.entries, step)
        changed = (reservoir.latents != before).flatten(2).any(dim=2)[0].nonzero()[:, 0]
        assert len(changed) == 2
        for slot in changed.tolist():
            stage = int(stages[0, slot])
            assert int(reservoir.stages[0, slot]) == (stage + 1 if stage < STEPS - 1 else 1)
            row = next(row for row in range(2) if torch.equal(start.noised[row], reservoir.latents[0, slot]))
            assert float(start.times[row]) == pytest.approx(times[int(reservoir.stages[0, slot])])
            if stage < STEPS - 1:
                after = reservoir.sampling.step(before[0, slot : slot + 1], stages[0, slot : slot + 1], [entry])
                torch.testing.assert_close(reservoir.latents[0, slot], after[0], atol=1e-3, rtol=1e-3)


def test_latents_that_are_not_refreshed_stay(new_world: NewWorld) -> None:
    world = new_world()
    reservoir = new(world, refresh=0.0)
    reservoir._fill()
    before = reservoir.latents.clone()
    for step in range(5):
        started(reservoir, world.entries, step)
    assert torch.equal(reservoir.latents, before)
    sometimes = new(world, refresh=0.5)
    sometimes._fill()
    changes = 0
    for step in range(40):
        before = sometimes.latents.clone()
        started(sometimes, world.entries, step)
        changes += not torch.equal(sometimes.latents, before)
    assert 10 < changes < 30


def test_passes_of_a_step_share_no_latents_and_make_together_what_one_does(new_world: NewWorld) -> None:
    world = new_world()
    whole, parts = new(world), new(world)
    for step in range(4):
        together = started(whole, world.entries, step, batch=4)
        apart = [started(parts, world.entries, step, 2, part, 2) for part in range(2)]
        torch.testing.assert_close(torch.cat([one.noised for one in apart]), together.noised, atol=1e-3, rtol=1e-3)
    assert torch.equal(whole.stages, parts.stages)


def test_its_state_is_all_that_is_needed_to_go_on(new_world: NewWorld) -> None:
    world = new_world()
    first = new(world)
    for step in range(3):
        started(first, world.entries, step)
    second = new(world)
    second.load_state_dict(first.state_dict())
    assert torch.equal(started(first, world.entries, 3).noised, started(second, world.entries, 3).noised)


def test_a_reservoir_smaller_than_a_step_is_refused(new_world: NewWorld) -> None:
    world = new_world()
    with pytest.raises(ValueError, match=r"start.reservoir_size should be at least 4, the examples of a step, found 3"):
        started(new(world, size=3), world.entries, 0, batch=4)
