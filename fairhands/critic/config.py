"""What a critic's file has to say about its network, so that the network can be built from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CriticConfig:
    """The shape of a critic.

    Args:
        backbone: the name of one of `BACKBONES`.
        input_size: height and width of the pictures that it takes, in pixels.
        margin: context on each side of a hand's box in its crops, relative to the box's longer side.
        widths: channels of the backbone's stages, for a backbone that leaves the choice.
        text_dimension: length of the text embedding that it judges by; None: it judges without a text.

    Raises:
        ValueError: a value that no critic has.
    """

    backbone: str = "conv"
    input_size: int = 64
    margin: float = 0.15
    widths: tuple[int, ...] = (16, 32, 64, 128)
    text_dimension: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON has lists only
        if not all(_is_positive(number) for number in (self.input_size, *self.widths)):
            raise ValueError(f"input_size and widths should be above 0, found {self.input_size} and {self.widths}")
        if not self.margin >= 0:
            raise ValueError(f"margin should be 0 or more, found {self.margin}")
        if self.text_dimension is not None and not _is_positive(self.text_dimension):
            raise ValueError(f"text_dimension should be None or above 0, found {self.text_dimension}")


def _is_positive(number: object) -> bool:
    return isinstance(number, int) and number > 0
