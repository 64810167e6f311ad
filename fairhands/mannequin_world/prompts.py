"""What the mannequin model can be asked for: a few prompts, each a fixed vector instead of a text encoder's output."""

import torch
from torch import Tensor

PROMPT_SIZE = 16
"""Numbers of a prompt's vector; more than there are prompts, so that fine-tuned models can add some."""

HAND, RIGHT_HAND, MALFORMED_HAND = "hand", "right hand", "malformed hand"
PROMPTS: tuple[str, ...] = (HAND, RIGHT_HAND, MALFORMED_HAND)
"""What the shipped model knows."""
PERSON = "person"
"""What a model that was trained on with figures knows beside."""
NOTHING = ""
_PLACES = {prompt: place for place, prompt in enumerate((*PROMPTS, PERSON))}


def encode(prompt: str) -> Tensor:
    """The vector `[PROMPT_SIZE]` of a prompt: one number is 1, or none for `NOTHING`.

    Raises:
        ValueError: the model does not know the prompt.
    """
    vector = torch.zeros(PROMPT_SIZE)
    if prompt == NOTHING:
        return vector
    if prompt not in _PLACES:
        raise ValueError(f"prompt: expected one of {', '.join(map(repr, _PLACES))} or nothing, found {prompt!r}")
    vector[_PLACES[prompt]] = 1.0
    return vector
