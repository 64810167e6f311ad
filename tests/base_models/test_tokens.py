"""Tokens are CLIP's."""

import logging

import pytest
import torch

from fairhands.base_models.tokens import clip_tokenizer, tokens

# As OpenAI's and open_clip's tokenizers give them.
KNOWN = {
    "a photo of a cat": [49406, 320, 1125, 539, 320, 2368, 49407],
    "hello world!": [49406, 3306, 1002, 256, 49407],
    "": [49406, 49407],
}


@pytest.fixture(scope="module")
def tokenizer():
    return clip_tokenizer()


def test_known_prompts_have_their_known_tokens(tokenizer) -> None:
    for prompt, known in KNOWN.items():
        for padding in (0, 49407):
            expected = known + [padding] * (77 - len(known))
            assert tokens(tokenizer, [prompt], 77, padding).tolist() == [expected]


def test_case_and_spaces_do_not_count(tokenizer) -> None:
    assert torch.equal(tokens(tokenizer, ["A  Photo\nof"], 77, 0), tokens(tokenizer, ["a photo of"], 77, 0))


def test_any_letter_has_a_token(tokenizer) -> None:
    row = tokens(tokenizer, ["naïve 手 \U0001f44b !?"], 77, 0)[0]
    assert row.max() == 49407
    assert (row == 49407).sum() == 1


def test_a_long_prompt_is_cut_with_a_warning(tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rows = tokens(tokenizer, ["hand " * 100, "hand"], 77, 0)
    assert rows.shape == (2, 77)
    assert rows[0, -1] == 49407
    assert (rows[0, 1:-1] == rows[1, 1]).all()
    assert "102 tokens is cut to 77" in caplog.text
    assert len(caplog.records) == 1


def test_a_folder_has_its_own_vocabulary(tokenizer, tmp_path) -> None:
    tokenizer.add_tokens(["<five-fingers>"])
    tokenizer.save_pretrained(tmp_path)
    assert 49408 in tokens(clip_tokenizer(tmp_path), ["<five-fingers>"], 77, 0)
    assert 49408 not in tokens(clip_tokenizer(), ["<five-fingers>"], 77, 0)
