import pytest
import torch
from torch import Tensor

from fairhands.base_models import BaseModel
from fairhands.base_models.model import guided
from fairhands.sliders.prompts import SliderPrompts
from fairhands.sliders.starts import Denoised, Noised, Sampling
from fairhands.training.draw import draw_of
from tests.adapters.bases import FAMILIES
from tests.sliders.conftest import SIDE, NewWorld, World

PAIR = SliderPrompts(positives=("good",), negatives=("bad",), attributes=("a", "b", "c"))


def sampling(world: World, **changes) -> Sampling:
    return Sampling(world.base, world.adapter, world.texts, **{"steps": 6, **changes})


def asked(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Notes rows and time of each prediction from now on."""
    seen: list[tuple[int, float]] = []
    predict = base.predict

    def noting(noised: Tensor, times: Tensor, text: object) -> Tensor:
        seen.append((len(noised), float(times[0])))
        return predict(noised, times, text)  # type: ignore[arg-type]

    monkeypatch.setattr(base, "predict", noting)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sampling_in_single_steps_is_the_base_models_own_sampling(family: str, new_world: NewWorld) -> None:
    world = new_world(family)
    made = sampling(world)
    examples = world.examples(2)
    noise = draw_of(0, 0, 2).normal(*made.shape(SIDE))
    latents, stages = noise, torch.zeros(2, dtype=torch.int64)
    for _ in range(5):
        latents = made.step(latents, stages, [example.entry for example in examples])
        stages = stages + 1
    target = world.texts.of([example.entry.target for example in examples], SIDE)
    nothing = world.texts.of([""], SIDE)
    whole = world.base.sample(target, nothing, noise, steps=6, guidance=3)
    last = made.at(stages)
    with torch.no_grad():
        both = guided(world.base.predict, latents, last, target, nothing, 3.0)
    torch.testing.assert_close(world.base.process.step(latents, last, both, None), whole, rtol=1e-3, atol=1e-3)


def test_a_denoised_start_is_made_anew_by_a_random_number_of_steps(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world()
    starts = Denoised(sampling(world))
    seen = asked(world.base, monkeypatch)
    counts = set()
    for step in range(12):
        seen.clear()
        start = starts.start(world.examples(2, step), draw_of(0, step, 2))
        assert all(rows == 4 for rows, _ in seen)
        assert start.times.tolist() == pytest.approx([world.base.process.times(6)[len(seen)]] * 2)
        assert not start.noised.requires_grad
        counts.add(len(seen))
    assert counts <= {1, 2, 3, 4, 5}
    assert len(counts) > 2


def test_it_is_denoised_with_the_lora_on_and_without_dropout(new_world: NewWorld) -> None:
    world = new_world(dropout=0.5)
    world.adapter.train()
    starts, examples = Denoised(sampling(world)), world.examples()
    first, second = (starts.start(examples, draw_of(0, 0, 2)).noised for _ in range(2))
    assert torch.equal(first, second)
    assert world.adapter.training
    with world.adapter.scaled(0):
        assert not torch.allclose(starts.start(examples, draw_of(0, 0, 2)).noised, first)


def test_guidance_of_one_asks_once_and_the_negative_prompt_can_be_led_away_from(
    new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world()
    examples, draw = world.examples(), draw_of(0, 0, 2)
    from_nothing = Denoised(sampling(world)).start(examples, draw_of(0, 0, 2)).noised
    from_negative = Denoised(sampling(world, away="negative")).start(examples, draw_of(0, 0, 2)).noised
    assert not torch.allclose(from_nothing, from_negative)
    seen = asked(world.base, monkeypatch)
    Denoised(sampling(world, guidance=1.0)).start(examples, draw)
    assert {rows for rows, _ in seen} == {2}


def test_averaged_attributes_begin_with_the_same_noise(new_world: NewWorld) -> None:
    world = new_world("SD 1.5", attributes="averaged", pairs=[PAIR])
    latents = torch.zeros(1, *sampling(world).shape(SIDE))
    start = Noised(world.base, 6, lambda side: latents).start(world.examples(2), draw_of(0, 0, 2))
    assert len(start.noised) == 6
    first, second = start.noised[:3], start.noised[3:]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    assert not torch.allclose(first[0], second[0])


def test_noised_pictures_are_the_base_models_noised_latents(new_world: NewWorld) -> None:
    world = new_world()
    latents = torch.randn(3, *sampling(world).shape(SIDE))
    starts = Noised(world.base, 12, {SIDE: latents}.__getitem__)
    times = set()
    for step in range(40):
        start = starts.start(world.examples(2, step), draw_of(0, step, 2))
        times |= set(start.times.tolist())
        same = [world.base.noised(latents[row : row + 1], torch.zeros(1), start.times[:1]) for row in range(3)]
        errors = torch.stack([(start.noised[0] - one[0]).std() for one in same])
        assert abs(float(errors.min()) - float(start.times[0])) < 0.1  # what is left is the noise
    assert times == set(torch.tensor(world.base.process.times(12)[1:]).tolist())
