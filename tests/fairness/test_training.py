from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairhands.base_models import BaseModel, Text
from fairhands.base_models.process import Diffusion, Flow
from fairhands.base_models.shapes import SD15
from fairhands.fairness.objectives import Objectives
from fairhands.fairness.settings import ObjectiveSettings
from fairhands.fairness.training import FairTraining, drawn_times, spread_times
from fairhands.people.batch import Batch
from fairhands.people.people import People
from fairhands.people.settings import DataSettings
from fairhands.training.draw import draw_of
from tests.adapters.bases import tiny
from tests.made.prepared_people import make_prepared_people

SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared_people(tmp_path_factory.mktemp("made") / "people", 6, without=(1,))


def fair(folder: Path, cache: Path, family: str = "mannequin", encode_text: bool = True) -> FairTraining:
    """A training of the base model as it is, half of whose pictures are held out; each of its passes has two."""
    base = tiny(family, cache / "base")
    chosen = DataSettings(prepared=(folder,), resolution=SIDE, held_out=3, caption_dropout=0.0)
    people = People(chosen, base, ("face", "hand"), cache / "cache", "mark", encode_text=encode_text)

    def predict(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        return base.predict(noised, times, text)

    return FairTraining(base, people, predict, Objectives(ObjectiveSettings()), 2)


def values(losses: dict[str, Tensor] | dict[str, float]) -> dict[str, float]:
    return {name: float(loss) for name, loss in losses.items()}


def test_the_losses_of_a_pass_come_from_its_draw_alone(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    first, again, other = (values(dict(training.losses(draw_of(0, step, 2)))) for step in (3, 3, 4))
    assert first == again
    assert first["global"] != other["global"]
    assert list(first) == ["loss", "global", "face", "hand"]


def test_batches_loaded_ahead_are_those_of_their_draws(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    expected = [values(dict(training.losses(draw_of(0, step, 2)))) for step in range(4)]
    training.load_ahead(draw_of(0, step, 2) for step in range(4))
    assert [values(dict(training.losses(draw_of(0, step, 2)))) for step in range(4)] == expected


def test_two_parts_of_a_step_are_one_pass_of_twice_the_batch(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    whole = values(dict(training.losses(draw_of(0, 0, 4))))
    parts = [values(dict(training.losses(draw_of(0, 0, 2, part, 2)))) for part in (0, 1)]
    for name, loss in whole.items():
        assert loss == pytest.approx((parts[0][name] + parts[1][name]) / 2, rel=1e-4)


def test_held_out_pictures_are_measured_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    first = training.measure()
    torch.manual_seed(3)
    assert training.measure() == first
    assert list(first) == ["held_out/global", "held_out/face", "held_out/hand"]
    assert len(training.people.held_out) == 3


def test_a_held_out_objective_is_the_mean_over_the_pictures_that_have_it(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    base = training.base

    def exact_but_by_one(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        level = times[:, None, None, None]
        noise = (noised - (1 - level) * batch.latents) / level
        return base.target(batch.latents, noise, times) + 1

    training.predict = exact_but_by_one
    assert training.measure() == pytest.approx({f"held_out/{name}": 1.0 for name in ("global", "face", "hand")})


def test_dropout_comes_from_the_draw(folder: Path, tmp_path: Path) -> None:
    training = fair(folder, tmp_path)
    drawn = []

    def predict(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        drawn.append(torch.rand(()).item())
        return noised

    training.predict = predict
    for step, before in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(before)
        training.losses(draw_of(0, step, 2))
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_cached_texts_captions_are_encoded_with_the_sizes_of_their_pictures(
    folder: Path, tmp_path: Path
) -> None:
    training = fair(folder, tmp_path, "SDXL", encode_text=False)
    base: BaseModel = training.base
    seen: list[Text] = []

    def predict(noised: Tensor, times: Tensor, text: Text, batch: Batch) -> Tensor:
        seen.append(replace(text, states=text.states * 1))
        assert batch.text is None
        assert text.sizes is not None
        assert torch.equal(text.sizes, batch.sizes)
        assert torch.equal(text.states, base.encode_text(batch.captions).states)
        return noised

    training.predict = predict
    training.losses(draw_of(0, 0, 2))
    assert len(seen[0]) == 2


def test_times_of_diffusion_are_all_timesteps_alike() -> None:
    process = Diffusion(SD15.kept(), "noise")
    times = drawn_times(process, draw_of(0, 0, 20000))
    assert (times.min(), times.max()) == (0, pytest.approx(0.999))
    assert float(times.mean()) == pytest.approx(0.4995, abs=0.01)
    assert len(times.unique()) == 1000
    assert spread_times(process, 4) == [0.125, 0.375, 0.625, 0.875]


def test_times_of_flow_are_those_that_the_mannequin_model_learnt_at() -> None:
    times = drawn_times(Flow(3.0), draw_of(0, 0, 20000))
    logits = times.logit()
    assert float(logits.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(logits.std()) == pytest.approx(1.0, abs=0.03)
    spread = spread_times(Flow(3.0), 4)
    for middle, time in zip((0.125, 0.375, 0.625, 0.875), spread, strict=True):
        assert float((times < time).float().mean()) == pytest.approx(middle, abs=0.02)
