import dataclasses

import pytest
import torch

from fairhands.sliders.texts import Texts
from tests.adapters.bases import FAMILIES
from tests.sliders.conftest import NewWorld


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_encoded_as_the_base_model_encodes_them(family: str, new_world: NewWorld) -> None:
    base = new_world(family).base
    prompts = ["right hand", "hand", "malformed hand", ""]
    texts = Texts(base, [(prompt, side) for prompt in prompts[:3] for side in (64, 128)])
    with torch.no_grad():
        expected = base.encode_text([prompts[2], prompts[3], prompts[0]], (128, 128))
    found = texts.of([prompts[2], prompts[3], prompts[0]], 128)
    for field in dataclasses.fields(found):
        told, own = getattr(expected, field.name), getattr(found, field.name)
        assert (told is None) == (own is None)
        if told is not None:
            assert not own.requires_grad
            torch.testing.assert_close(own, told, atol=1e-4, rtol=1e-4)


def test_each_prompt_is_encoded_once(new_world: NewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    base, asked = new_world("SD 1.5").base, []
    encode = base.encode_text
    monkeypatch.setattr(base, "encode_text", lambda prompts, size: asked.extend(prompts) or encode(prompts, size))
    Texts(base, [(f"prompt {number % 11}", 64) for number in range(40)])
    assert sorted(asked) == sorted(["", *(f"prompt {number}" for number in range(11))])


def test_a_prompt_that_the_base_does_not_know_is_named(new_world: NewWorld) -> None:
    with pytest.raises(ValueError, match="found 'natural hands'"):
        Texts(new_world("mannequin").base, [("natural hands", 64)])
