"""Which of several pictures has the best hands."""

from collections.abc import Sequence
from typing import Literal, get_args

ImageScore = Literal["worst", "mean", "best"]
NoHand = Literal["last", "first"]

IMAGE_SCORES: list[str] = list(get_args(ImageScore))
NO_HAND: list[str] = list(get_args(NoHand))


def image_score(hands: Sequence[float], of: ImageScore) -> float | None:
    """A picture's score from its hands': that of the worst or the best hand, or their mean; None without any hand.

    Raises ValueError for another `of`.
    """
    if of not in IMAGE_SCORES:
        raise ValueError(f"image_score is {of!r}, expected one of {', '.join(IMAGE_SCORES)}.")
    if not hands:
        return None
    if of == "mean":
        # A mean of like numbers can come out a bit beyond them.
        return min(max(sum(hands) / len(hands), min(hands)), max(hands))
    return min(hands) if of == "worst" else max(hands)


def ranking(scores: Sequence[float | None], no_hand: NoHand) -> list[int]:
    """The pictures' places in the batch, the best picture's first; of like ones the one that comes first.

    `scores`: of each picture, None where it shows no hand. `no_hand`: such pictures rank `last` or `first`.
    Raises ValueError for another `no_hand`.
    """
    if no_hand not in NO_HAND:
        raise ValueError(f"no_hand is {no_hand!r}, expected one of {', '.join(NO_HAND)}.")
    without = float("inf") if no_hand == "first" else -float("inf")
    worth = [without if score is None else score for score in scores]
    return sorted(range(len(worth)), key=lambda place: -worth[place])
