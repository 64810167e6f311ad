"""A LoRA beside a base model's frozen layers."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import BaseModel
from tests.adapters.bases import CHOICES, FAMILIES, adapted, inputs, moved, predicted, tiny


@pytest.fixture(params=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> BaseModel:
    return tiny(request.param, tmp_path / "base")


@pytest.fixture
def mannequin(tmp_path: Path) -> BaseModel:
    return tiny("mannequin", tmp_path)


def gradients(adapter: LoraAdapter) -> dict[str, Tensor]:
    found = {name: weight.grad for name, weight in adapter.named_parameters() if weight.grad is not None}
    adapter.zero_grad()
    return found


def storages(network: nn.Module) -> set[int]:
    return {weight.untyped_storage().data_ptr() for weight in network.parameters()}


@pytest.mark.parametrize("layers", CHOICES)
def test_a_new_lora_changes_nothing_and_a_trained_one_something(base: BaseModel, layers: str) -> None:
    plain = predicted(base)
    adapter = LoraAdapter(base, LoraSettings.model_validate({"layers": layers}))
    assert torch.equal(predicted(base), plain)
    moved(adapter)
    change = (predicted(base) - plain).norm() / plain.norm()
    assert 1e-4 < change < 1


def test_scale_zero_is_the_base_bit_for_bit_whatever_the_lora_holds(base: BaseModel) -> None:
    plain = predicted(base)
    adapter = adapted(base, layers="all", dropout=0.5)
    nn.init.constant_(next(adapter.parameters()), float("nan"))
    with adapter.train().scaled(0):
        assert torch.equal(predicted(base), plain)


def test_a_scale_acts_as_if_the_change_were_added_to_the_weights(base: BaseModel) -> None:
    """W + scale * alpha / rank * up down, of linear layers and of convolutions."""
    adapter = adapted(base, rank=2, alpha=3.0, layers="all")
    with adapter.scaled(-0.7):
        found = predicted(base)
    assert adapter.scale == 1
    merged = []
    for module in base.denoiser.modules():
        if hasattr(module, "lora_A"):
            down, up = module.lora_A["fairhands"].weight, module.lora_B["fairhands"].weight
            change = (up.flatten(1) @ down.flatten(1)).view_as(module.base_layer.weight)
            module.base_layer.weight.add_(change, alpha=-0.7 * 3 / 2)
            merged.append(change)
    assert len(merged) == len(list(adapter.children()))
    with adapter.scaled(0):
        assert torch.allclose(found, predicted(base), atol=2e-5 * float(found.abs().max()))


@settings(max_examples=10)
@given(st.lists(st.sampled_from([0.0, 1.0, -2.0, 0.5]), min_size=1, max_size=4))
def test_scales_nest_and_are_restored_even_after_an_error(scales: list[float]) -> None:
    adapter = adapted(tiny("mannequin", Path()))
    expected = {scale: at(adapter, scale) for scale in {*scales, 1.0}}

    def nested(left: list[float]) -> None:
        if not left:
            raise InterruptedError
        with adapter.scaled(left[0]):
            assert torch.equal(predicted(adapter.base), expected[left[0]])
            try:
                nested(left[1:])
            finally:
                assert torch.equal(predicted(adapter.base), expected[left[0]])

    with pytest.raises(InterruptedError):
        nested(scales)
    assert adapter.scale == 1
    assert torch.equal(predicted(adapter.base), expected[1.0])


def at(adapter: LoraAdapter, scale: float) -> Tensor:
    with adapter.scaled(scale):
        return predicted(adapter.base)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused_and_changes_nothing(mannequin: BaseModel, scale: float) -> None:
    adapter = adapted(mannequin)
    with pytest.raises(ValueError, match=f"scale should be a finite number, found {scale}"), adapter.scaled(scale):
        pass
    assert adapter.scale == 1


def test_it_holds_the_lora_alone_under_kohyas_names(base: BaseModel) -> None:
    adapter = adapted(base, rank=3, layers="all")
    state = adapter.state_dict()
    assert state.keys() == dict(adapter.named_parameters()).keys()
    prefix = "lora_transformer" if base.family == "mannequin" else "lora_unet"
    assert all(re.fullmatch(rf"{prefix}_\w+\.lora_(down|up)\.weight", name) for name in state)
    for name, weight in state.items():
        assert weight.dtype == torch.float32
        assert weight.shape[1 if "lora_up" in name else 0] == 3


def test_the_gradient_flows_to_the_lora_only(base: BaseModel) -> None:
    adapter = adapted(base, layers="all")
    base.predict(*inputs(base)).square().mean().backward()
    assert gradients(adapter).keys() == adapter.state_dict().keys()
    own = {id(weight) for weight in adapter.parameters()}
    others = [weight for weight in base.denoiser.parameters() if id(weight) not in own]
    assert others
    assert not any(weight.requires_grad or weight.grad is not None for weight in others)


def test_switching_the_scale_leaves_alone_what_is_trained(mannequin: BaseModel) -> None:
    adapter = adapted(mannequin)
    frozen, *others = adapter.parameters()
    frozen.requires_grad_(False)
    for scale in (0, 2):
        with adapter.scaled(scale):
            assert not frozen.requires_grad
            assert all(weight.requires_grad for weight in others)
    assert not frozen.requires_grad


def test_checkpointing_gives_the_same_gradient_whatever_the_scale_when_it_is_taken(base: BaseModel) -> None:
    """The blocks are computed again in the backward pass: at the scale of the prediction, not of that moment."""
    adapter = adapted(base)
    found = []
    for checkpointing in (False, True):
        adapter.use_checkpointing(checkpointing)
        with adapter.scaled(2.0):
            prediction = base.predict(*inputs(base))
        with adapter.scaled(0):
            prediction.square().mean().backward()
        found.append(gradients(adapter))
    largest = max(float(expected.abs().max()) for expected in found[0].values())
    assert largest > 0
    for name, expected in found[0].items():
        assert torch.allclose(found[1][name], expected, rtol=1e-4, atol=1e-6 * largest)


def test_with_checkpointing_one_prediction_may_have_several_gradients(base: BaseModel) -> None:
    adapter = adapted(base)
    adapter.use_checkpointing()
    prediction = base.predict(*inputs(base))
    losses = [prediction[:, 0].square().mean(), prediction.square().mean()]
    weights = list(adapter.parameters())
    first, _, again = (torch.autograd.grad(losses[at], weights, retain_graph=True) for at in (0, 1, 0))
    assert any(part.any() for part in first)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_checkpointing_computes_blocks_again_until_it_is_switched_off(base: BaseModel) -> None:
    adapter = adapted(base)
    layer = next(module for module in base.denoiser.modules() if hasattr(module, "lora_A"))
    passes = []
    layer.register_forward_hook(lambda *_: passes.append(1))
    counts = []
    for checkpointing in (True, False):
        passes.clear()
        adapter.use_checkpointing(checkpointing)
        base.predict(*inputs(base)).mean().backward()
        counts.append(len(passes))
    assert counts == [2, 1]


def test_dropout_acts_in_training_alone(mannequin: BaseModel) -> None:
    adapter = adapted(mannequin, dropout=0.5)
    assert not mannequin.denoiser.training
    adapter.eval()
    assert torch.equal(predicted(mannequin), predicted(mannequin))
    adapter.train()
    assert not torch.equal(predicted(mannequin), predicted(mannequin))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_in_half_precision_is_neither_copied_nor_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    base = tiny("SDXL", tmp_path / "base", dtype)
    before = storages(base.denoiser)
    adapter = adapted(base, layers="all")
    own = storages(adapter)
    assert storages(base.denoiser) == before | own
    assert not before & own
    others = [weight for name, weight in base.denoiser.named_parameters() if ".lora_" not in name]
    assert {weight.dtype for weight in others} == {dtype}
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        base.predict(*inputs(base)).square().mean().backward()
    for weight in gradients(adapter).values():
        assert weight.dtype == torch.float32
        assert weight.isfinite().all()


@pytest.mark.parametrize("family", ["SD 1.5", "SDXL"])
def test_text_encoders_are_adapted_where_wanted(tmp_path: Path, family: str) -> None:
    base = tiny(family, tmp_path / "base")
    plain = base.encode_text(["a hand"])
    adapter = adapted(base, text_encoders=True)
    prefixes = {name.split("_text_model")[0] for name in adapter.state_dict() if "text_model" in name}
    assert prefixes == ({"lora_te"} if family == "SD 1.5" else {"lora_te1", "lora_te2"})
    text = base.encode_text(["a hand"])
    assert not torch.allclose(text.states, plain.states, atol=1e-4)
    text.states.square().mean().backward()
    assert any("lora_te" in name for name in gradients(adapter))
    with adapter.scaled(0):
        assert torch.equal(base.encode_text(["a hand"]).states, plain.states)


def test_text_encoders_that_are_not_there_are_refused(mannequin: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"text_encoders is True, but the base \(mannequin\) has none"):
        LoraAdapter(mannequin, LoraSettings(), text_encoders=True)


def test_a_second_adapter_is_refused(mannequin: BaseModel) -> None:
    adapted(mannequin)
    with pytest.raises(ValueError, match="should have no adapter yet, found one"):
        adapted(mannequin)


def test_the_seed_decides_how_it_begins(tmp_path: Path) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(LoraAdapter(tiny("mannequin", tmp_path), LoraSettings()).state_dict())
    for name, weight in states[0].items():
        assert torch.equal(weight, states[1][name])
        assert torch.equal(weight, states[2][name]) == ("lora_up" in name)
