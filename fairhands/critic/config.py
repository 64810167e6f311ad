"""What a critic's file has to say about its network, so that the network can be built from it."""

from dataclasses import dataclass, field
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Transformer:
    """The frozen vision transformer that a critic looks with.

    Args:
        name: what it is called where it comes from, such as `facebook/dino-vits16`.
        shape: transformers' configuration of it, with its `model_type`.
        places: which of its hidden states give features: 0 is after the embeddings, n after block n.
        mean, deviation: of the colours that it was trained with, in 0..1.
        sha256: hash of its weights (`fairhands.critic.weights.digest`); empty: any weights will do.

    Raises:
        ValueError: a value that no transformer has.
    """

    name: str
    shape: dict[str, Any] = field(hash=False)
    places: tuple[int, ...] = (0, 3, 6, 9, 12)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("places", "mean", "deviation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only
        if not isinstance(self.shape, dict) or not all(isinstance(text, str) for text in (self.name, self.sha256)):
            raise ValueError(f"a transformer's name and sha256 should be texts and its shape a table, found {self}")
        if not self.places or not all(isinstance(place, int) for place in self.places):
            raise ValueError(f"a transformer's places should be one or more whole numbers, found {self.places}")
        if len(self.mean) != 3 or len(self.deviation) != 3 or not all(value > 0 for value in self.deviation):
            raise ValueError(
                f"a transformer's mean and deviation should be three numbers each, the latter above 0, "
                f"found {self.mean} and {self.deviation}"
            )


@dataclass(frozen=True)
class CriticConfig:
    """The shape of a critic.

    Args:
        backbone: the name of one of `BACKBONES`.
        input_size: height and width of the pictures that it takes, in pixels.
        margin: context on each side of a hand's box in its crops, relative to the box's longer side.
        widths: channels of the backbone's stages, for a backbone that leaves the choice.
        text_dimension: length of the text embedding that it judges by; None: it judges without a text.
        text_encoder: what made those embeddings, such as `openai/clip-vit-large-patch14`; empty where it has none.
        transformer: the backbone "vit"'s own.
        calibration: scale and offset of a picture's mean logit, whose sigmoid is then how likely a hand is right.

    Raises:
        ValueError: a value that no critic has.
    """

    backbone: str = "conv"
    input_size: int = 64
    margin: float = 0.15
    widths: tuple[int, ...] = (16, 32, 64, 128)
    text_dimension: int | None = None
    text_encoder: str = ""
    transformer: Transformer | None = None
    calibration: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON has lists only
        object.__setattr__(self, "calibration", tuple(self.calibration))
        if isinstance(self.transformer, dict):
            object.__setattr__(self, "transformer", Transformer(**self.transformer))
        if not all(_is_positive(number) for number in (self.input_size, *self.widths)):
            raise ValueError(f"input_size and widths should be above 0, found {self.input_size} and {self.widths}")
        if not self.margin >= 0:
            raise ValueError(f"margin should be 0 or more, found {self.margin}")
        if self.text_dimension is not None and not _is_positive(self.text_dimension):
            raise ValueError(f"text_dimension should be None or above 0, found {self.text_dimension}")


def _is_positive(number: object) -> bool:
    return isinstance(number, int) and number > 0
