"""The prompts of a slider as its base model reads them, encoded once."""

from collections.abc import Iterable, Sequence

from ..base_models import BaseModel, Text
from ..base_models.encoding import encoded

NOTHING = ""


class Texts:
    """Prompts encoded for pictures of some sizes; the base model's text encoders are not needed afterwards.

    Args:
        base: the base model.
        wanted: prompts, each with the side of the pictures that it is for, in pixels. What guidance leads away from
            by default, the empty prompt, is encoded for each side as well.

    Raises:
        ValueError: the base model does not know a prompt.
    """

    def __init__(self, base: BaseModel, wanted: Iterable[tuple[str, int]]) -> None:
        self._texts: dict[tuple[str, int], Text] = {}
        every = set(wanted)
        every |= {(NOTHING, side) for _, side in every}
        for side in sorted({side for _, side in every}):
            prompts = sorted(prompt for prompt, of in every if of == side)
            text = encoded(base, prompts, (side, side))
            self._texts |= {(prompt, side): text[row : row + 1] for row, prompt in enumerate(prompts)}

    def of(self, prompts: Sequence[str], side: int) -> Text:
        """The prompts in their order, for pictures of that side. Raises KeyError for one that was not encoded."""
        return Text.joined(self._texts[prompt, side] for prompt in prompts)
