"""What a slider is taught with: prompts of what is changed, and of what it leads toward and away from."""

from pydantic import Field, field_validator

from ..training.configuration import Configuration

MANNEQUIN = "mannequin"


class SliderPrompts(Configuration):
    """One pair of ends, and what is moved between them."""

    target: str = Field(default="hands", description="The prompt whose pictures change.")
    neutral: str = Field(default="hands", description="The prompt that the change is added to; mostly the target.")
    positives: tuple[str, ...] = Field(
        default=(), validate_default=True, description="Prompts to lead toward; one of them counts at a time."
    )
    negatives: tuple[str, ...] = Field(
        default=(), validate_default=True, description="Prompts to lead away from; one of them counts at a time."
    )
    attributes: tuple[str, ...] = Field(
        default=(), description='What should stay as it is, such as "man", "woman": put before all the prompts.'
    )
    eta: float = Field(default=4.0, gt=0, description="Strength of the change.")
    resolution: int | None = Field(
        default=None, ge=64, description="Side of the pictures that it is learnt at, in pixels; none: the base's own."
    )
    weight: float = Field(default=1.0, gt=0, description="How much these prompts count beside others.")

    @field_validator("positives", "negatives")
    @classmethod
    def _not_empty(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        if not prompts:
            raise ValueError("should name at least one prompt, because a slider leads from one to another")
        return prompts


_MALFORMED = "poorly drawn hands, distorted hands, amputed fingers"

PRESETS: dict[str, tuple[SliderPrompts, ...]] = {
    "hands": (
        SliderPrompts(
            positives=("realistic hands, five fingers, 8k hyper realistic hands",),
            negatives=(_MALFORMED,),
        ),
    ),
    "natural_hands": (
        SliderPrompts(
            positives=("natural hands, anatomically correct fingers",),
            negatives=("malformed hands, extra fingers, fused fingers, missing fingers",),
            attributes=("man", "woman", "child"),
        ),
    ),
    "holding_objects": (
        SliderPrompts(
            target="hand holding an object",
            neutral="hand holding an object",
            positives=(
                "natural hand holding an object, five fingers wrapped around it, firm grip, correct thumb",
                "natural hand holding an object, anatomically correct fingers around it",
            ),
            negatives=(
                "malformed hand holding an object, fingers merged with it, extra fingers",
                "malformed hand beside an object that floats, missing fingers, twisted thumb",
            ),
            attributes=("man's", "woman's", "child's"),
        ),
        SliderPrompts(
            positives=("natural hands, anatomically correct fingers",),
            negatives=(_MALFORMED,),
            weight=0.5,
        ),
    ),
    "stylised_hands": (
        SliderPrompts(
            target="drawn hands",
            neutral="drawn hands",
            positives=("expertly drawn hands, correct anatomy, five fingers, clean lines",),
            negatives=("badly drawn hands, wrong anatomy, extra fingers, fused fingers",),
            attributes=("anime", "comic", "oil painting", "watercolour"),
        ),
    ),
    MANNEQUIN: (
        SliderPrompts(target="hand", neutral="hand", positives=("right hand",), negatives=("malformed hand",)),
    ),
}
"""Prompts by name; `hands` are the concept sliders' own, `mannequin` are the ones that the mannequin model knows."""
