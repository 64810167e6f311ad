"""Many prompts encoded, a few at a time."""

from collections.abc import Sequence

import torch

from .model import BaseModel, Text

AT_ONCE = 16


@torch.no_grad()
def encoded(base: BaseModel, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Text:
    """Prompts as the base model reads them, on its device.

    Args:
        base: the base model.
        prompts: one or more.
        size: height and width of the pictures that they are for; None: the base's resolution.

    Raises:
        ValueError: the base model does not know a prompt.
    """
    groups = (prompts[start : start + AT_ONCE] for start in range(0, len(prompts), AT_ONCE))
    return Text.joined([base.encode_text(group, size) for group in groups])
