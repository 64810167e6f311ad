"""Models that describe pictures: LLaVA, BLIP and other image-to-text models of transformers."""

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

Captioner = Callable[[Sequence[Image]], list[str]]

QUESTION = "Describe this picture in one short sentence."

# How models begin that tell of the picture instead of what is in it.
OPENING = re.compile(
    r"^(?:sure|certainly)?[,!.]?\s*(?:here(?:'s| is) [^:]*:\s*)?"
    r"(?:in (?:the|this) (?:image|picture|photo|photograph),?\s+"
    r"|(?:the|this) (?:image|picture|photo|photograph) "
    r"(?:shows|depicts|features|captures|displays|contains|portrays|presents|is of)\s+)?",
    re.IGNORECASE,
)


class CaptionerError(ValueError):
    """A model that cannot be had, or that describes no pictures; its text is one sentence."""


def image_to_text(
    name_or_folder: Path | str,
    question: str = QUESTION,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    allow_download: bool = False,
    most_tokens: int = 75,
) -> Captioner:
    """A function that describes pictures, the same ones always alike.

    Args:
        name_or_folder: a folder as transformers saves a model with its processor, or a name on the hub.
        question: what a model with a chat template (LLaVA) is asked; others (BLIP) are shown the picture alone.
        device: where it computes.
        dtype: of its weights; None: half precision on a GPU, single elsewhere.
        allow_download: whether a name may be fetched from the hub; without, it is read where it was fetched before.
        most_tokens: the most that a caption takes.

    Raises:
        CaptionerError: there is no such model here, or it is of another kind.
    """
    device = torch.device(device)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    processor, model = _read(str(name_or_folder), dtype, allow_download)
    model = model.to(device).eval()

    @torch.inference_mode()
    def describe(pictures: Sequence[Image]) -> list[str]:
        inputs = _inputs(processor, pictures, question).to(device, dtype)
        tokens = model.generate(**inputs, max_new_tokens=most_tokens, do_sample=False)
        asked = inputs.get("input_ids")
        if asked is not None and torch.equal(tokens[:, : asked.shape[1]], asked):
            tokens = tokens[:, asked.shape[1] :]
        return [cleaned(text) for text in processor.batch_decode(tokens, skip_special_tokens=True)]

    return describe


def cleaned(text: str) -> str:
    """A model's answer as a caption: in one line, without quotes around it, and without "The image shows"."""
    line = " ".join(text.split()).strip("\"' ")
    return OPENING.sub("", line).strip("\"' ")


def _read(name: str, dtype: torch.dtype, allow_download: bool) -> tuple[Any, Any]:
    try:
        processor = AutoProcessor.from_pretrained(name, local_files_only=not allow_download)
        model = AutoModelForImageTextToText.from_pretrained(
            name, local_files_only=not allow_download, use_safetensors=True, torch_dtype=dtype
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "" if allow_download else "; a name on the hub is only fetched where that is allowed"
        raise CaptionerError(
            f"{name} is no model here that describes pictures, expected a folder with one and its processor{hint}: "
            f"{reason}"
        ) from error
    if hasattr(processor, "tokenizer"):
        processor.tokenizer.padding_side = "left"  # an answer goes on from the end of its question
    return processor, model


def _inputs(processor: Any, pictures: Sequence[Image], question: str) -> Any:
    if not getattr(processor, "chat_template", None):
        return processor(images=list(pictures), return_tensors="pt")
    chats = [[{"role": "user", "content": _asked(picture, question)}] for picture in pictures]
    options: dict[str, Any] = {"return_tensors": "pt", "padding": True}
    if "processor_kwargs" in inspect.signature(processor.apply_chat_template).parameters:  # since transformers 5
        options = {"processor_kwargs": options}
    return processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=True, return_dict=True, **options)


def _asked(picture: Image, question: str) -> list[dict[str, Any]]:
    return [{"type": "image", "image": picture}, {"type": "text", "text": question}]
