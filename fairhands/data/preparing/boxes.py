"""Which boxes of hands and faces to believe: the annotations', the detector's, or both compared."""

from collections.abc import Callable, Sequence

from ...hands.hand import Box, area, clip_box, intersection
from ..problems import Problems
from .records import Found, Picture
from .tables import BoxTable


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    shared = intersection(one, other)
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def matches(ones: Sequence[Box], others: Sequence[Box], least: float) -> dict[int, int]:
    """Which of `others` is the same as each of `ones`: the pairs that overlap most first, at least by `least`."""
    overlaps = [(overlap(one, other), i, j) for i, one in enumerate(ones) for j, other in enumerate(others)]
    found: dict[int, int] = {}
    for value, i, j in sorted(overlaps, key=lambda entry: (-entry[0], entry[1:])):
        if value > 0 and value >= least and i not in found and j not in found.values():
            found[i] = j
    return found


def corrected(
    annotated: Sequence[Box],
    detected: Sequence[Found],
    least_overlap: float,
    *,
    replace_confirmed: bool = False,
    drop_unconfirmed: bool = False,
    add_unannotated: bool = False,
) -> list[Found]:
    """Annotated boxes after a comparison with detected ones, in their order, then added ones in theirs.

    An annotated box is confirmed where a detected one overlaps it enough; each confirms one at most. A confirmed box
    gets the detected one's score.

    Args:
        annotated: boxes of the annotations.
        detected: what the detector found.
        least_overlap: intersection over union, 0..1, from which on two boxes are the same.
        replace_confirmed: take the detected box instead of an annotated one that it confirms.
        drop_unconfirmed: leave out annotated boxes that the detector did not find.
        add_unannotated: also take what the detector found and no annotation says.
    """
    same = matches(annotated, [found.box for found in detected], least_overlap)
    hands = []
    for number, box in enumerate(annotated):
        if number in same:
            found = detected[same[number]]
            hands.append(found if replace_confirmed else Found(box, found.score))
        elif not drop_unconfirmed:
            hands.append(Found(box))
    if add_unannotated:
        taken = set(same.values())
        hands += [found for number, found in enumerate(detected) if number not in taken]
    return hands


def inside(found: Sequence[Found], width: int, height: int) -> tuple[list[Found], int]:
    """What lies in a picture, clipped to it, and how many boxes do not lie in it by at least a pixel each way."""
    clipped = [Found(clip_box(hand.box, width, height), hand.score) for hand in found]
    kept = [hand for hand in clipped if min(hand.box[2:]) >= 1]
    return kept, len(found) - len(kept)


def chosen_boxes(
    picture: Picture,
    boxes: Sequence[Box] | None,
    detect: Callable[[], list[Found]],
    width: int,
    height: int,
    settings: BoxTable,
    problems: Problems,
) -> list[Found]:
    """The boxes of one part in one picture by its annotations, the detector or both.

    Args:
        picture: the picture; where it stands in its dataset is named where a box does not lie in it.
        boxes: its annotated boxes of that part; None where the dataset does not say.
        detect: searches the picture; asked only where the settings want it.
        width, height: the picture's, in pixels.
        settings: whose boxes to take.
        problems: gets boxes outside of the picture.
    """
    example = picture.example
    annotated = example.in_pixels(None if boxes is None else tuple(boxes), width, height)
    kept, outside = inside([Found(box) for box in annotated or ()], width, height)
    if outside and settings.boxes != "detected":
        problems.add("box outside", example.place or example.picture, f"{outside} of {len(annotated or ())} boxes")
    if settings.boxes == "annotated":
        return kept
    seen, _ = inside(detect(), width, height)
    if settings.boxes == "detected" or annotated is None:
        return seen
    return corrected(
        [found.box for found in kept],
        seen,
        settings.least_overlap,
        replace_confirmed=settings.confirmed == "replace",
        drop_unconfirmed=settings.unconfirmed == "drop",
        add_unannotated=settings.unannotated == "add",
    )
