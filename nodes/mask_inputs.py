"""Inputs that say how hands are found and drawn, alike in every node that does so."""

from typing import get_args

from comfy_api.latest import io

from ..fairhands.hands.masks import Shape

SHAPES: list[str] = list(get_args(Shape))


def search_inputs() -> list[io.Input]:
    """The most hands to find, and whether to search in tiles too."""
    return [
        io.Int.Input("max_hands", default=4, min=1, max=32, tooltip="The most hands to find in a picture."),
        io.Int.Input(
            "tiles",
            default=1,
            min=1,
            max=6,
            tooltip="Above 1: search again in this many by this many overlapping tiles. Finds small hands in "
            "large pictures, and takes longer.",
        ),
    ]


def shape_inputs(shape: str) -> list[io.Input]:
    """The form of a hand's mask and the room around it; `shape` is the usual form."""
    return [
        io.Combo.Input(
            "shape",
            options=SHAPES,
            default=shape,
            tooltip="shape follows the fingers, hull wraps the whole hand, box is the rectangle around it.",
        ),
        io.Float.Input(
            "padding",
            default=0.15,
            min=0.0,
            max=2.0,
            step=0.01,
            tooltip="Grow the mask by this share of the hand's size. Room for a finger that is missing.",
        ),
    ]


def background_input() -> io.Boolean.Input:
    """Whether everything outside of the hands follows a run without guidance."""
    return io.Boolean.Input(
        "keep_background",
        default=False,
        optional=True,
        tooltip="Sample once without guidance first, and keep that picture outside the hands' mask: nothing else "
        "changes, and sampling takes that run longer.",
    )


def feather_input() -> io.Int.Input:
    """How wide the mask's edge is."""
    return io.Int.Input("feather", default=0, min=0, max=512, tooltip="Soften the mask's edge, in pixels.")
