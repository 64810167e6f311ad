"""A base in 8 bits."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairhands.adapters.eight_bit import in_eight_bits
from tests.adapters.bases import adapted, inputs, predicted, tiny

installed = find_spec("bitsandbytes") is not None
needs_it = pytest.mark.skipif(not installed, reason="bitsandbytes is not installed")


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.skipif(installed, reason="bitsandbytes is installed")
def test_without_bitsandbytes_a_sentence_says_what_to_do() -> None:
    with pytest.raises(ImportError, match="needs the package bitsandbytes, which is not installed: install it, or"):
        in_eight_bits(tiny("mannequin", Path()))


@needs_it
@pytest.mark.parametrize("family", ["SD 1.5", "SDXL"])
def test_the_base_predicts_nearly_the_same_and_a_lora_on_it_is_trained(tmp_path: Path, family: str) -> None:
    base = tiny(family, tmp_path / "base", torch.float16)
    half = predicted(base)
    in_eight_bits(base)
    plain = predicted(base)
    assert 0 < relative(plain, half) < 0.05
    weights = {weight.dtype for weight in base.denoiser.parameters()}
    assert weights == {torch.int8, torch.float16}

    adapter = adapted(base)
    assert relative(predicted(base), plain) > 1e-3
    with adapter.scaled(0):
        assert torch.equal(predicted(base), plain)
    base.predict(*inputs(base)).square().mean().backward()
    for weight in adapter.parameters():
        assert weight.dtype == torch.float32
        assert weight.grad is not None
        assert weight.grad.isfinite().all()
