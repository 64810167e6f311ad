"""ControlNets and T2I-Adapters beside small base models."""

from pathlib import Path
from typing import cast

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.adapter import FullAdapterXL
from torch import Tensor

from fairhands.adapters.control import Control, dropped
from fairhands.adapters.controlnet import ControlNet
from fairhands.adapters.t2i_adapter import T2IAdapter
from fairhands.base_models import Added, BaseModel
from fairhands.base_models.stable_diffusion import StableDiffusion
from tests.adapters.bases import inputs, predicted, tiny
from tests.adapters.controls import KINDS, LEVELLED, levelled, moved, new, shown

Kind = type[Control]
every = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("family", LEVELLED)


def prediction(control: Control, conditioning: Tensor) -> Tensor:
    with torch.no_grad():
        return control.predict(*inputs(control.base, len(conditioning)), conditioning)


@both
def test_a_new_controlnet_adds_nothing_and_is_a_copy_of_the_encoder(family: str) -> None:
    base = levelled(family)
    control = new(ControlNet, base)
    assert torch.equal(prediction(control, shown()), predicted(base))
    copied = control.network.state_dict()
    names = [name for name in base.denoiser.state_dict() if name.startswith(("down_", "mid_", "conv_in", "time_"))]
    assert len(names) > 50
    assert all(torch.equal(copied[name], base.denoiser.state_dict()[name]) for name in names)


@both
@every
def test_what_it_is_shown_changes_the_prediction(kind: Kind, family: str) -> None:
    control = moved(new(kind, levelled(family)))
    first, second = prediction(control, shown()), prediction(control, shown().flip(-1))
    assert (first - predicted(control.base)).std() > 1e-3
    assert (first - second).std() > 1e-4


@both
@every
def test_the_network_alone_is_trained_and_all_of_it(kind: Kind, family: str) -> None:
    base = levelled(family, torch.bfloat16)
    control = moved(new(kind, base))
    assert len(list(control.parameters())) == len(list(control.network.parameters()))
    assert {weight.dtype for weight in control.parameters()} == {torch.float32}
    control.predict(*inputs(base), shown()).square().mean().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in control.parameters())
    assert all(weight.grad is None for weight in base.denoiser.parameters())


@both
@every
def test_checkpointing_gives_the_same_gradient_of_fewer_kept_tensors(kind: Kind, family: str) -> None:
    gradients, kept = [], []
    for checkpointing in (False, True):
        control = moved(new(kind, levelled(family)))
        control.use_checkpointing(checkpointing)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, to=sizes: to.append(t.numel()) or t, lambda t: t):
            loss = control.predict(*inputs(control.base), shown()).square().mean()
            kept.append(sum(sizes))
            loss.backward()
        gradients.append([cast(Tensor, weight.grad) for weight in control.parameters()])
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other)
    assert kept[1] < 0.8 * kept[0]


def test_checkpointing_can_be_switched_off_again() -> None:
    control = new(ControlNet, levelled("SD 1.5"))
    control.use_checkpointing()
    control.use_checkpointing(False)
    networks = (control.network, cast(UNet2DConditionModel, control.base.denoiser))
    assert not any(network.is_gradient_checkpointing for network in networks)


@both
@every
def test_guided_sampling_shows_each_latent_its_own_picture(kind: Kind, family: str) -> None:
    control = moved(new(kind, levelled(family)))
    base = control.base
    noise, text = torch.randn(2, 4, 16, 16, generator=torch.manual_seed(0)), base.encode_text(["hand", ""], (128, 128))
    pictures = shown()

    def sampled(rows: slice) -> Tensor:
        def predict(noised: Tensor, times: Tensor, texts: object) -> Tensor:
            return control.predict(noised, times, texts, pictures[rows])  # pyright: ignore[reportArgumentType]

        return base.sample(text[:1], text[1:], noise[rows], steps=3, predict=predict)

    together, plain = sampled(slice(0, 2)), base.sample(text[:1], text[1:], noise, steps=3)
    apart = torch.cat([sampled(slice(0, 1)), sampled(slice(1, 2))])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)
    assert (together - plain).std() > 1e-3


def test_sdxls_adapter_reaches_the_middle_block() -> None:
    base = levelled("SDXL")
    control = new(T2IAdapter, base)
    adapter = control.network.adapter
    assert isinstance(adapter, FullAdapterXL)
    added = control.added(*inputs(base), shown())
    middle = (*added.features[:-1], torch.zeros_like(added.features[-1]))
    with torch.no_grad():
        own, other = (base.predict(*inputs(base), Added(features=features)) for features in (added.features, middle))
    assert [list(feature.shape[1:]) for feature in added.features] == [[16, 8, 8], [32, 8, 8], [64, 4, 4], [64, 4, 4]]
    assert (own - other).std() > 1e-4


@pytest.mark.parametrize("family", LEVELLED)
def test_a_t2i_adapter_goes_with_u_nets_of_fewer_levels(family: str, tmp_path: Path) -> None:
    control = moved(new(T2IAdapter, tiny(family, tmp_path / "base")))
    control.predict(*inputs(control.base), shown()).square().mean().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in control.parameters())


@every
def test_the_mannequin_model_is_refused(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{kind.title} needs a base of SD 1.5 or SDXL, found the mannequin model"):
        kind.new(tiny("mannequin", tmp_path))


def test_the_mannequin_model_does_not_ignore_what_is_added(tmp_path: Path) -> None:
    base = tiny("mannequin", tmp_path)
    with pytest.raises(ValueError, match="no place for what a ControlNet"):
        base.predict(*inputs(base), Added(features=(torch.zeros(1),)))


@pytest.mark.parametrize("shape", [(2, 3, 64, 128), (3, 3, 128, 128), (2, 1, 128, 128)])
def test_pictures_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    control = new(T2IAdapter, levelled("SD 1.5"))
    with pytest.raises(ValueError, match=r"conditioning should be \[2, 3, 128, 128\]"):
        control.predict(*inputs(control.base), torch.zeros(shape))


def test_a_share_of_the_pictures_is_black_and_the_others_as_they_are() -> None:
    pictures = torch.rand(400, 3, 4, 4) + 0.1
    torch.manual_seed(0)
    found = dropped(pictures, 0.25)
    black = ~found.flatten(1).any(dim=1)
    assert 70 < int(black.sum()) < 130
    assert torch.equal(found[~black], pictures[~black])
    assert torch.equal(dropped(pictures, 0), pictures)
    assert not dropped(pictures, 1).any()


def test_an_sdxl_u_net_of_more_levels_is_refused() -> None:
    base: BaseModel = levelled("SDXL")
    assert isinstance(base, StableDiffusion)
    cast(UNet2DConditionModel, base.denoiser).register_to_config(block_out_channels=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="U-Net of 3 levels, found 4"):
        T2IAdapter.new(base)
