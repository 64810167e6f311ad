"""Mannequin hands: procedural pictures of right and malformed hands with exact masks, boxes and finger counts.

`draw` is the ground truth that no set of photos gives: which digits a hand has is known, not judged.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from .background import draw_background, draw_foliage, draw_studio_background
from .capsules import OVERSAMPLING, Floats, Samples
from .colour import draw_colour, draw_skin
from .layout import Area, PlacedHand, cells, place
from .person import Person, draw_person, paint_person, paint_upper_arm
from .pose import FINGER_COUNTS, Plan, Pose, draw_plan, draw_pose, draw_studio_pose, moved
from .shading import Look, paint_hand, paint_sleeve

Box = tuple[int, int, int, int]

DATA_VERSION = 1
"""Raised when the same seed gives another picture, so that a weight file says what it was trained on."""

RIGHT = "right"
KINDS: tuple[str, ...] = tuple(FINGER_COUNTS)
"""Every kind of hand: `right` first, then the malformed ones."""

STUDIO_KINDS: tuple[str, ...] = (RIGHT, "four_fingers", "six_fingers", "fused", "extra_thumb")
"""The kinds that studio pictures show: a hand that is wrong there has one digit too few or too many."""

SMALLEST = 64
FIGURE_HEADS = (0.185, 0.2)
"""Half the height of a figure's face, in a figure's own unit: what the picture's shorter side is to other scenes."""
FIGURE_UNIT = 0.6
"""A figure's own unit, in the picture's shorter side: what makes hands and faces small parts of the picture."""


@dataclass(frozen=True)
class Mannequin:
    """A drawn picture and all that is known about it.

    `picture`: uint8 `[H, W, 3]`, RGB. `mask`: bool `[H, W]`, the pixels that show a hand (palm, digits, a little
    wrist). `boxes`: for each hand the pixels x, y, width, height that hold what is visible of it. `finger_count`:
    for each hand its digits, thumbs included; two fused fingers are one. `kind`: for each hand one of `KINDS`.
    `face_box`: x, y, width, height of the face, or None without a body.
    """

    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    finger_count: tuple[int, ...]
    kind: tuple[str, ...]
    face_box: Box | None


@dataclass(frozen=True)
class _Hand:
    """One hand before it is placed; `sleeve` is where cloth begins, in palms below the wrist."""

    kind: str
    pose: Pose
    plan: Plan
    skin: Floats
    nail: Floats
    cloth: Floats
    sleeve: float | None


_Placed = tuple[_Hand, PlacedHand]


def is_right(kind: str) -> bool:
    """Whether hands of `kind` are as they should be: four fingers and a thumb, none of them wrong."""
    return kind == RIGHT


def draw(
    seed: int,
    size: int | tuple[int, int] = 256,
    *,
    hands: int = 1,
    kind: str | None = None,
    body: bool = False,
    studio: bool = False,
    right: float = 0.5,
    foliage: bool = False,
) -> Mannequin:
    """Draws one picture; the same arguments always give the same one, and another `size` shows the same scene.

    `size` is the side or (height, width) in pixels, 64 or more. `kind` is one of `KINDS` for all hands; None draws
    each right with the probability `right`, else malformed in one way or another. With `body` a person raises the
    hands, at most two. With `studio` the world is simple enough to be learnt by a small model: the back of one upright
    hand, large, before a plain gradient; with `body` too, a *figure*: a person before any background whose left hand,
    raised beside the face, is 0.3 times as high as the picture. With `foliage` leaves hang into the
    picture from above, behind all else.
    Raises ValueError for arguments outside of these.
    """
    rows, columns = _checked(seed, size, hands, kind, body, studio)
    figure = body and studio
    short = min(rows, columns) * (FIGURE_UNIT if figure else 1)
    height, width = rows / short, columns / short
    scene = _stream(seed, 0)
    light, skin = _draw_light(scene), draw_skin(scene)
    drawn = [_draw_hand(seed, number, kind, skin, studio, right) for number in range(hands)]
    paint_background = draw_studio_background if studio and not body else draw_background
    behind = _stream(seed, 1)
    picture = paint_background(behind, rows, columns, skin)
    if foliage:
        picture = draw_foliage(behind, picture, skin)
    person = _draw_person(scene, height, width, skin, studio) if body else None
    if person:
        placed = [_raised(person, drawn[0], scene)] if studio else _beside(person, drawn, scene)
        _paint_behind(picture, person, placed, light, short)
    else:
        placed = _centred(drawn[0], height, width, scene) if studio else _spread_out(drawn, height, width, scene)
    masks = [cover >= 0.5 for cover in _paint_hands(picture, placed, light, short)]
    return Mannequin(
        picture=np.ascontiguousarray(np.round(picture * 255).astype(np.uint8).transpose(1, 2, 0)),
        mask=np.logical_or.reduce(masks),
        boxes=tuple(_box(mask) for mask in masks),
        finger_count=tuple(FINGER_COUNTS[hand.kind] for hand in drawn),
        kind=tuple(hand.kind for hand in drawn),
        face_box=_in_pixels(person.face, short, rows, columns) if person else None,
    )


def _checked(
    seed: int, size: int | tuple[int, int], hands: int, kind: str | None, body: bool, studio: bool
) -> tuple[int, int]:
    rows, columns = size if isinstance(size, tuple) else (size, size)
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    if min(rows, columns) < SMALLEST:
        raise ValueError(f"size: expected sides of at least {SMALLEST} pixels, found {size}")
    if hands < 1:
        raise ValueError(f"hands: expected 1 or more, found {hands}")
    if body and hands > 2:
        raise ValueError(f"hands: expected 1 or 2 with a body, found {hands}")
    if studio and hands > 1:
        raise ValueError(f"studio: expected one hand, found hands={hands}")
    kinds = STUDIO_KINDS if studio else KINDS
    if kind is not None and kind not in kinds:
        raise ValueError(f"kind: expected one of {', '.join(kinds)}, found {kind!r}")
    return rows, columns


def _stream(seed: int, part: int) -> Generator:
    """A part of the picture has its own numbers, so that another kind leaves pose and background as they are."""
    return Generator(PCG64((seed, part)))


def _draw_light(rng: Generator) -> Floats:
    light = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.75, -0.2), 0.85])
    return light / np.linalg.norm(light)


def _draw_hand(seed: int, number: int, kind: str | None, skin: Floats, studio: bool, right: float) -> _Hand:
    rng, choices = _stream(seed, 2 + 2 * number), _stream(seed, 3 + 2 * number)
    kinds = STUDIO_KINDS if studio else KINDS
    malformed = kinds[1 + int(choices.integers(len(kinds) - 1))]
    drawn = RIGHT if choices.random() < right else malformed
    pose = draw_studio_pose(rng) if studio else draw_pose(rng)
    kind = drawn if kind is None else kind
    nail = skin * 0.55 + np.array([1.0, 0.82, 0.80]) * 0.45 if rng.random() < 0.88 else draw_colour(rng, skin)
    # The palm of a dark hand is lighter than its back.
    shown = skin + (np.array([0.90, 0.70, 0.60]) - skin) * (0.3 if pose.palm_seen else 0.0)
    return _Hand(
        kind=kind,
        pose=pose,
        plan=draw_plan(kind, choices),
        skin=shown,
        nail=nail,
        cloth=draw_colour(rng, skin),
        sleeve=rng.uniform(0.3, 0.8) if rng.random() < 0.4 else None,
    )


def _centred(hand: _Hand, height: float, width: float, rng: Generator) -> list[_Placed]:
    fill, shift = rng.uniform(0.84, 0.92), rng.uniform(0.3, 0.7, 2)
    return [(hand, place(hand.pose, hand.plan, Area(0.0, 0.0, width, height), fill, shift))]


def _spread_out(drawn: list[_Hand], height: float, width: float, rng: Generator) -> list[_Placed]:
    """Hands in a grid of cells that keeps them apart; arms of the upper ones leave the picture sideways."""
    placed = []
    for hand, cell in zip(drawn, cells(len(drawn), height, width), strict=True):
        in_lowest_row = cell.y + cell.height > height - 1e-6
        if not in_lowest_row:
            side = -1 if cell.x + cell.width / 2 < width / 2 else 1
            hand = replace(hand, pose=replace(hand.pose, turn=side * rng.uniform(1.0, 1.4)))
        fill = rng.uniform(0.55, 0.82) if len(drawn) == 1 else rng.uniform(0.72, 0.92)
        placed.append((hand, place(hand.pose, hand.plan, cell, fill, rng.uniform(0.15, 0.85, 2))))
    return placed


def _draw_person(rng: Generator, height: float, width: float, skin: Floats, studio: bool) -> Person:
    if studio:
        return draw_person(rng, np.array([width / 2 - 0.21, height - 0.62]), skin, FIGURE_HEADS)
    return draw_person(rng, np.array([width / 2, height - 0.72]), skin)


def _raised(person: Person, hand: _Hand, rng: Generator) -> _Placed:
    """The hand of a figure: its back to the viewer, to the right of the head, thumb outward."""
    pose = replace(hand.pose, thumb_right=True)
    hand = replace(hand, pose=pose, cloth=person.cloth, sleeve=rng.uniform(0.5, 1.2))
    area = Area(person.head[0] + 0.22, person.head[1] - 0.3, 0.47, 0.56)
    return hand, place(pose, hand.plan, area, rng.uniform(0.92, 1.0), rng.uniform(0.3, 0.7, 2))


def _beside(person: Person, drawn: list[_Hand], rng: Generator) -> list[_Placed]:
    """Hands raised beside the person's head, thumbs inward where the palm is seen and outward where it is not."""
    first = -1 if rng.random() < 0.5 else 1
    placed = []
    for hand, side in zip(drawn, (first, -first), strict=False):
        pose = replace(
            hand.pose,
            turn=-side * rng.uniform(-0.05, 0.3),
            arm_bend=rng.uniform(-0.1, 0.1),
            arm_length=2.5,
            thumb_right=(side < 0) == hand.pose.palm_seen,
        )
        hand = replace(hand, pose=pose, cloth=person.cloth, sleeve=rng.uniform(0.4, 1.5))
        x = person.head[0] + (0.2 if side > 0 else -0.48)
        area = Area(x, person.head[1] - 0.06 + rng.uniform(0, 0.14), 0.28, 0.34)
        placed.append((hand, place(pose, hand.plan, area, 0.95, rng.uniform(0.15, 0.85, 2))))
    return placed


def _paint_behind(picture: Samples, person: Person, placed: list[_Placed], light: Floats, short: float) -> None:
    """Draws the person without forearms, in place; an arm whose hand is not raised hangs down."""
    scale = short * OVERSAMPLING
    paint_person(picture, person, light, scale)
    elbows = [at.shape.forearm[0, 1, :2] for _, at in placed]
    sides = [1 if elbow[0] > person.head[0] else -1 for elbow in elbows]
    if len(placed) == 1:
        sides.append(-sides[0])
        elbows.append(np.add(person.shoulder(sides[1]), (0.06 * sides[1], 0.4)))
    for side, elbow in zip(sides, elbows, strict=True):
        paint_upper_arm(picture, person, side, elbow, light, scale)


def _paint_hands(picture: Samples, placed: list[_Placed], light: Floats, short: float) -> list[Samples]:
    """Draws the hands one over the other, in place; returns how much of each pixel shows each of them."""
    scale, visible = short * OVERSAMPLING, []
    for hand, at in placed:
        shape, unit = moved(at.shape, scale=scale), at.palm * scale
        cover, own = paint_hand(picture, shape, Look(hand.skin, hand.nail, hand.pose.palm_seen, light), unit)
        if hand.sleeve is not None:
            cloth = paint_sleeve(picture, shape, hand.sleeve, hand.cloth, light, unit)
            cover, own = np.maximum(cover, cloth), own * (1 - cloth)
        visible = [other * (1 - cover) for other in visible]
        visible.append(own)
    return visible


def _box(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (0, 0, 0, 0)
    left, top = int(columns[0]), int(rows[0])
    return (left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def _in_pixels(area: Area, short: float, rows: int, columns: int) -> Box:
    left, top = max(0, round(area.x * short)), max(0, round(area.y * short))
    right, bottom = round((area.x + area.width) * short), round((area.y + area.height) * short)
    return (left, top, min(right, columns) - left, min(bottom, rows) - top)
