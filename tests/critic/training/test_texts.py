from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from fairhands.base_models.tokens import clip_tokenizer
from fairhands.critic.training.texts import text_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP text encoder with random weights, as `save_pretrained` leaves it."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    path = tmp_path_factory.mktemp("clip") / "text"
    CLIPTextModel(CLIPTextConfig(**shape, eos_token_id=49407, bos_token_id=49406)).save_pretrained(path)
    return path


def test_a_text_becomes_the_encoders_pooled_state_at_its_end(folder: Path) -> None:
    encoder = text_encoder(str(folder), allow_download=False)
    assert encoder.dimension == 16
    found = encoder.embedded(["a hand", "two right hands holding a cup"])
    assert found.shape == (2, 16)
    numbers = clip_tokenizer()("a hand").input_ids
    states = encoder.network(torch.tensor([numbers])).last_hidden_state
    torch.testing.assert_close(found[0], states[0, -1], atol=1e-5, rtol=0)


def test_texts_are_embedded_alone_as_among_many(folder: Path) -> None:
    encoder = text_encoder(str(folder), allow_download=False)
    texts = [f"a hand with {number} rings" for number in range(70)]
    torch.testing.assert_close(encoder.embedded(texts)[-1:], encoder.embedded(texts[-1:]), atol=1e-5, rtol=0)
    assert encoder.embedded([]).shape == (0, 16)


def test_what_is_no_text_encoder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text_encoder: nowhere is no checkpoint, no folder .* download = true"):
        text_encoder("nowhere", allow_download=False)
    mannequin = Path(__file__).parents[3] / "weights" / "checkpoints" / "mannequin_model.safetensors"
    with pytest.raises(ValueError, match=r"expected a checkpoint of SD 1\.5, found one of mannequin"):
        text_encoder(str(mannequin), allow_download=False)
