"""Captions as a critic judges by them: CLIP's pooled embedding, the one that ComfyUI's SD 1.5 prompts carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ...base_models.loading import load
from ...base_models.stable_diffusion import StableDiffusion
from ...base_models.tokens import END, clip_tokenizer, tokens

AT_ONCE = 64


@dataclass(frozen=True)
class TextEncoder:
    """CLIP's text encoder with its tokenizer."""

    network: CLIPTextModel
    tokenizer: CLIPTokenizer

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        return cast(CLIPTextConfig, self.network.config).hidden_size

    @torch.no_grad()
    def embedded(self, texts: Sequence[str]) -> Tensor:
        """The pooled embeddings of texts, float32 [T, dimension]."""
        length = cast(CLIPTextConfig, self.network.config).max_position_embeddings
        end = cast(int, self.tokenizer.convert_tokens_to_ids(END))
        found = [torch.zeros(0, self.dimension)]
        for start in range(0, len(texts), AT_ONCE):
            numbers = tokens(self.tokenizer, texts[start : start + AT_ONCE], length, end)
            found.append(self.network(numbers).pooler_output.float())
        return torch.cat(found)


def text_encoder(source: str, allow_download: bool) -> TextEncoder:
    """CLIP's text encoder and its tokenizer.

    Args:
        source: an SD 1.5 checkpoint, or the folder or hub name of a CLIP text encoder.
        allow_download: whether a hub's name may be fetched.

    Raises:
        ValueError: there is none; one sentence.
    """
    if Path(source).is_file():
        base = load(source)
        if not isinstance(base, StableDiffusion) or base.family != StableDiffusion.family:
            raise ValueError(f"text_encoder: expected a checkpoint of SD 1.5, found one of {base.family}: {source}")
        return TextEncoder(cast(CLIPTextModel, base.text_encoders[0]), base.tokenizer)
    try:
        encoder = CLIPTextModel.from_pretrained(source, local_files_only=not allow_download)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"text_encoder: {source} is no checkpoint, no folder of a CLIP text encoder, and not in the hub's local "
            "cache: give one that is, or download = true."
        ) from error
    own = Path(source) if (Path(source) / "merges.txt").is_file() else None
    return TextEncoder(encoder.eval(), clip_tokenizer(own))
