import pytest
import torch

from fairhands.mannequin_world.prompts import NOTHING, PERSON, PROMPT_SIZE, PROMPTS, encode


def test_prompts_have_vectors_at_right_angles_and_nothing_has_none() -> None:
    vectors = torch.stack([encode(prompt) for prompt in (*PROMPTS, PERSON)])
    assert torch.equal(vectors @ vectors.T, torch.eye(len(PROMPTS) + 1))
    assert torch.equal(encode(NOTHING), torch.zeros(PROMPT_SIZE))


def test_an_unknown_prompt_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"prompt: expected one of 'hand', 'right hand', .* found 'foot'"):
        encode("foot")


def test_figures_are_no_prompt_of_the_shipped_model() -> None:
    assert PERSON not in PROMPTS
