from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies
from torch import Tensor

from fairhands.base_models import BaseModel
from fairhands.base_models.process import Diffusion, Flow
from fairhands.base_models.shapes import SD15
from fairhands.fairness.objectives import Objectives, min_snr_weights, regional
from fairhands.fairness.settings import ObjectiveSettings, PreferenceSettings
from fairhands.people.batch import Batch
from tests.adapters.bases import FAMILIES, tiny

SIDE = 8
CELLS = strategies.lists(strategies.floats(0, 1), min_size=2 * SIDE * SIDE, max_size=2 * SIDE * SIDE)
KEPT = SD15.kept()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    return {family: tiny(family, tmp_path_factory.mktemp("bases") / "base") for family in FAMILIES}


def squares(seed: int = 0) -> Tensor:
    return torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).square()


def batch_of(base: BaseModel, masks: dict[str, Tensor], count: int = 2) -> tuple[Batch, Tensor, Tensor, Tensor]:
    """A batch, noise, times, and a prediction that wants a gradient."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, base.latent_channels, SIDE, SIDE)
    latents, noise, prediction = (torch.randn(shape, generator=generator) for _ in range(3))
    captions = tuple("a person waves" for _ in range(count))
    batch = Batch(latents, captions, torch.zeros(count, 6), masks)
    return batch, noise, torch.linspace(0.1, 0.8, count), prediction.requires_grad_()


def brightness(pictures: Tensor, captions: Sequence[str]) -> Tensor:
    return pictures.mean(dim=(1, 2, 3))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("normalise", ["area", "image"])
def test_a_mask_of_ones_gives_the_global_loss(bases: dict[str, BaseModel], family: str, normalise: str) -> None:
    base = bases[family]
    batch, noise, times, prediction = batch_of(base, {"hand": torch.ones(2, 1, SIDE, SIDE)})
    chosen = ObjectiveSettings.model_validate({"regions": ("hand",), "normalise": normalise, "min_snr_gamma": 5.0})
    found = Objectives(chosen).losses(base, batch, noise, times, prediction)
    assert list(found) == ["loss", "global", "hand"]
    torch.testing.assert_close(found["hand"], found["global"])
    torch.testing.assert_close(found["loss"], 2 * found["global"])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_global_loss_is_the_mean_squared_error_of_the_bases_target(
    bases: dict[str, BaseModel], family: str
) -> None:
    base = bases[family]
    batch, noise, times, prediction = batch_of(base, {})
    found = Objectives(ObjectiveSettings(regions=())).losses(base, batch, noise, times, prediction)
    target = base.target(batch.latents, noise, times)
    torch.testing.assert_close(found["global"], (prediction - target).square().mean())
    exact = Objectives(ObjectiveSettings(regions=())).losses(base, batch, noise, times, target)
    assert exact["global"] == 0


@given(cells=CELLS, factor=strategies.floats(1e-3, 1))
@settings(max_examples=50, deadline=None)
def test_the_mean_over_an_area_does_not_change_with_the_masks_scale(cells: list[float], factor: float) -> None:
    mask = torch.tensor(cells).reshape(2, 1, SIDE, SIDE).round(decimals=3)
    whole, scaled = (regional(squares(), some, "area") for some in (mask, factor * mask))
    torch.testing.assert_close(whole.losses, scaled.losses)
    assert torch.equal(whole.present, scaled.present)
    image, half = (regional(squares(), some, "image") for some in (mask, factor * mask))
    torch.testing.assert_close(factor * image.losses, half.losses)


@given(cells=CELLS, seed=strategies.integers(1, 1000), normalise=strategies.sampled_from(["area", "image"]))
@settings(max_examples=50, deadline=None)
def test_a_regions_loss_ignores_what_is_outside(cells: list[float], seed: int, normalise: str) -> None:
    mask = (torch.tensor(cells).reshape(2, 1, SIDE, SIDE) - 0.5).clamp(min=0)
    inside, other = squares(), squares(seed) * 100
    elsewhere = torch.where(mask > 0, inside, other)
    assert torch.equal(regional(inside, mask, normalise).losses, regional(elsewhere, mask, normalise).losses)  # pyright: ignore[reportArgumentType]


@given(cells=CELLS)
@settings(max_examples=50, deadline=None)
def test_a_regions_mean_lies_between_its_errors(cells: list[float]) -> None:
    mask = torch.tensor(cells).reshape(2, 1, SIDE, SIDE).round(decimals=2)
    found = regional(squares(), mask, "area")
    for error, own, loss, present in zip(squares(), mask, *found, strict=True):
        assert bool(present) == bool(own.any())
        inside = error[own > 0] if present else torch.zeros(1)
        assert inside.min() * 0.999 <= loss <= inside.max() * 1.001


def test_a_half_covered_cell_counts_half() -> None:
    error, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    error[0, 0, 0], mask[0, 0, 0] = torch.tensor([3.0, 6.0]), torch.tensor([1.0, 0.5])
    assert float(regional(error, mask, "area").losses) == pytest.approx((3 + 0.5 * 6) / 1.5)
    assert float(regional(error, mask, "image").losses) == pytest.approx((3 + 0.5 * 6) / 4)


def test_an_example_without_the_region_counts_zero_and_has_no_gradient(bases: dict[str, BaseModel]) -> None:
    base = bases["mannequin"]
    masks = {"hand": torch.zeros(3, 1, SIDE, SIDE), "face": torch.zeros(3, 1, SIDE, SIDE)}
    masks["hand"][1, 0, 2:4, 2:4] = 1
    batch, noise, times, prediction = batch_of(base, masks, count=3)
    found = Objectives(ObjectiveSettings()).losses(base, batch, noise, times, prediction)
    error = (prediction - base.target(batch.latents, noise, times))[1, :, 2:4, 2:4].square().mean()
    torch.testing.assert_close(found["hand"], error / 3)
    assert found["face"].shape == ()
    assert found["face"] == 0
    assert not found["face"].requires_grad
    (gradient,) = torch.autograd.grad(found["hand"], prediction)
    assert gradient.isfinite().all()
    assert gradient[1, :, 2:4, 2:4].all()
    assert gradient.count_nonzero() == gradient[1, :, 2:4, 2:4].numel()


def test_min_snr_weights_are_those_of_the_paper() -> None:
    times = torch.tensor([0.02, 0.2, 0.5, 0.9])
    kept = KEPT[(times * 1000).round().long()]
    ratio = kept / (1 - kept)
    capped = ratio.clamp(max=5)
    torch.testing.assert_close(min_snr_weights(Diffusion(KEPT, "noise"), times, 5), capped / ratio)
    torch.testing.assert_close(min_snr_weights(Diffusion(KEPT, "velocity"), times, 5), capped / (ratio + 1))
    flow = min_snr_weights(Flow(3.0), torch.tensor([0.0, 0.2, 0.5, 1.0]), 5)
    torch.testing.assert_close(flow, torch.tensor([0.0, 5 * 0.04, 0.25, 0.0]))


@pytest.mark.parametrize("process", [Diffusion(KEPT, "noise"), Diffusion(KEPT, "velocity"), Flow(3.0)])
def test_min_snr_weighs_the_clean_latents_error_by_the_capped_ratio(process: Diffusion | Flow) -> None:
    times = torch.linspace(0.1, 0.9, 7)
    generator = torch.Generator().manual_seed(0)
    latents, noise, error = (torch.randn(7, 4, 4, 4, generator=generator) for _ in range(3))
    noised, target = process.noised(latents, noise, times), process.target(latents, noise, times)
    of_clean = (process.clean(noised, times, target + error) - latents).square().mean(dim=(1, 2, 3))
    have = process.noised_mixture(times)
    ratio = (have.latent / have.noise).square().flatten()
    weighed = min_snr_weights(process, times, 5) * error.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(weighed, ratio.clamp(max=5) * of_clean, rtol=1e-3, atol=1e-5)


def test_min_snr_weights_all_errors_alike(bases: dict[str, BaseModel]) -> None:
    base = bases["SD 1.5"]
    batch, noise, times, prediction = batch_of(base, {"hand": torch.ones(1, 1, SIDE, SIDE)}, count=1)
    plain, weighed = (
        Objectives(ObjectiveSettings(regions=("hand",), min_snr_gamma=gamma)).losses(
            base, batch, noise, times, prediction
        )
        for gamma in (0.0, 5.0)
    )
    weight = float(min_snr_weights(base.process, times, 5)[0])
    assert weight < 0.9
    for name in ("global", "hand"):
        torch.testing.assert_close(weighed[name], weight * plain[name])


def preferring(base: BaseModel, **chosen: float) -> tuple[Objectives, ObjectiveSettings]:
    preference = PreferenceSettings(reward="given:here", **chosen)
    every = ObjectiveSettings(regions=(), preference=preference)
    return Objectives(every, reward=brightness), every


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preference_is_the_reward_of_what_the_prediction_stands_for(bases: dict[str, BaseModel], family: str) -> None:
    base = bases[family]
    batch, noise, times, prediction = batch_of(base, {})
    objectives, every = preferring(base, below=0.5, scale=2.0)
    assert every.names == ("global", "preference")
    found = objectives.losses(base, batch, noise, times, prediction)
    noised = base.noised(batch.latents, noise, times)
    picture = base.decode(base.clean(noised, times, prediction)[:1])
    expected = -2.0 * brightness(picture, ())[0] / 2  # the second one is noised too much and counts zero
    torch.testing.assert_close(found["preference"], expected)
    (gradient,) = torch.autograd.grad(found["preference"], prediction)
    assert gradient[0].any()
    assert not gradient[1].any()
    (lowered,) = torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(gradient, lowered)


def test_no_preference_where_all_is_noised_too_much(bases: dict[str, BaseModel]) -> None:
    base = bases["mannequin"]
    batch, noise, times, prediction = batch_of(base, {})
    objectives, _ = preferring(base, below=0.05)
    found = objectives.losses(base, batch, noise, times, prediction)
    assert found["preference"] == 0
    assert not found["preference"].requires_grad


def test_beyond_the_margin_a_reward_counts_no_more(bases: dict[str, BaseModel]) -> None:
    base = bases["mannequin"]
    batch, noise, times, prediction = batch_of(base, {}, count=1)
    objectives, _ = preferring(base, margin=-1.0)
    assert objectives.losses(base, batch, noise, times, prediction)["preference"] == 0
    objectives, _ = preferring(base, margin=1.5)
    found = objectives.losses(base, batch, noise, times, prediction)
    noised = base.noised(batch.latents, noise, times)
    torch.testing.assert_close(
        found["preference"], 1.5 - brightness(base.decode(base.clean(noised, times, prediction)), ())[0]
    )


def test_the_losses_fit_the_batch_of_any_size(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    base = bases["mannequin"]
    masks = {"hand": torch.rand(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))}
    batch, noise, times, prediction = batch_of(base, masks, count=4)
    objectives = Objectives(ObjectiveSettings(regions=("hand",)))
    whole = objectives.losses(base, batch, noise, times, prediction)

    def part(rows: slice) -> dict[str, Tensor]:
        own = replace(batch, latents=batch.latents[rows], masks={"hand": masks["hand"][rows]})
        return objectives.losses(base, own, noise[rows], times[rows], prediction[rows])

    first, second = part(slice(0, 2)), part(slice(2, 4))
    for name in ("global", "hand"):
        torch.testing.assert_close(whole[name], (first[name] + second[name]) / 2)
