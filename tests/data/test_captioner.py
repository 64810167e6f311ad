"""Models that describe pictures, on tiny random ones: their captions say nothing, how they are asked does."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from fairhands.data.captioner import CaptionerError, cleaned, image_to_text

WORDS = [
    "[PAD]",
    "[BOS]",
    "[EOS]",
    "[UNK]",
    "<image>",
    "USER:",
    "ASSISTANT:",
    "what",
    "who",
    "is",
    "it",
    "hand",
    "five",
]
WORDS += [f"word{number}" for number in range(20)]
TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)
SIDE = 16


def tiny_llava(folder: Path) -> Path:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]", unk_token="[UNK]",
        extra_special_tokens={"image_token": "<image>"}, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    pictures = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = LlavaProcessor(
        pictures, tokenizer, patch_size=8, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )  # fmt: skip
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**shape, image_size=SIDE, patch_size=8),
            text_config=LlamaConfig(
                **shape, vocab_size=len(WORDS), pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.5
            ),
            image_token_index=4,
        )
    )
    for part in (processor, model):
        part.save_pretrained(folder)
    return folder


def tiny_blip(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS[7:]]))
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    pictures = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 5, "sep_token_id": 3, "eos_token_id": 3}
    text = {**shape, **special, "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "initializer_range": 0.5}
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config={**shape, "image_size": SIDE, "patch_size": 8})
    )
    for part in (BlipProcessor(pictures, tokenizer), model):
        part.save_pretrained(folder)
    return folder


def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (24, 20), colour) for colour in ("red", "white", "black")]


@pytest.mark.parametrize("make", [tiny_llava, tiny_blip])
def test_each_picture_gets_the_same_caption_alone_and_among_others(make, tmp_path: Path) -> None:
    describe = image_to_text(make(tmp_path / "model"), most_tokens=6)
    captions = describe(pictures())
    assert len(captions) == 3
    assert all(caption and "\n" not in caption for caption in captions)
    assert captions == [describe([picture])[0] for picture in pictures()] == describe(pictures())


def test_the_question_is_asked_and_is_no_part_of_the_caption(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "model")
    what, who = (image_to_text(folder, question, most_tokens=8)(pictures()) for question in ("what is it", "who who"))
    assert what != who
    assert not any("what is it" in caption or "who who" in caption for caption in what + who)
    assert all(len(caption.split()) <= 8 for caption in what + who)


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("The image shows a hand\nwith five fingers.", "a hand with five fingers."),
        ('"In this picture, a man waves."', "a man waves."),
        ("Sure! Here is a caption: The photo depicts two hands", "two hands"),
        ("a photo of a hand", "a photo of a hand"),
        ("The image of the king hangs on a wall", "The image of the king hangs on a wall"),
        ("  ", ""),
    ],
)
def test_captions_tell_what_is_in_the_picture(answer: str, caption: str) -> None:
    assert cleaned(answer) == caption


def test_what_is_no_such_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "missing"), "nobody/has-this"):
        with pytest.raises(CaptionerError, match="is no model here that describes pictures") as caught:
            image_to_text(name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
