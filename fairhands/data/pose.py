"""Where the capsules of a mannequin hand lie: proportions, pose and malformations.

Lengths are in palms (wrist to middle knuckle = 1); x points to the thumb, y along the fingers, z out of the palm.
A capsule is `[2, 4]`: x, y, z and radius at its start and at its end; several are `[n, 2, 4]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .capsules import Floats

FINGER_COUNTS: Mapping[str, int] = MappingProxyType(
    {
        "right": 5,
        "three_fingers": 3,
        "four_fingers": 4,
        "six_fingers": 6,
        "seven_fingers": 7,
        "fused": 4,
        "extra_thumb": 6,
        "bent_wrong": 5,
    }
)

# From the index (0) to the little finger (1); other numbers of fingers are read off between these four.
_ACROSS = np.linspace(0, 1, 4)
_KNUCKLES = np.array([[0.315, 0.95], [0.085, 1.0], [-0.14, 0.95], [-0.345, 0.83]])
_PHALANGES = np.array([[0.44, 0.28, 0.245], [0.49, 0.32, 0.255], [0.45, 0.30, 0.25], [0.35, 0.215, 0.22]])
_RADII = np.array([[0.124, 0.111, 0.100, 0.082]]) * np.array([[1.0], [1.03], [0.97], [0.86]])
_FAN = np.radians([9.0, 1.5, -6.5, -17.0])
_THUMB_PHALANGES = (0.34, 0.30)
_THUMB_RADII = (0.145, 0.126, 0.096)


class Digit(NamedTuple):
    """A finger or thumb: chains of phalanges `[n, 2, 4]` from base to tip; of fused ones, the last fills the gap."""

    chains: tuple[Floats, ...]

    @property
    def nails(self) -> int:
        """How many of its chains, from the first, end in a nail."""
        return max(1, len(self.chains) - 1)


class HandShape(NamedTuple):
    """A hand's capsules: bones of the palm, flesh on and beside them, arm, digits; and its palm's lines `[k, 4]`."""

    palm: Floats
    flesh: Floats
    forearm: Floats
    digits: tuple[Digit, ...]
    lines: tuple[Floats, ...]


@dataclass(frozen=True)
class Pose:
    """All that is free in a right hand; angles in radians, one row of `jitter` and `curl` a finger."""

    spread: float
    jitter: Floats
    curl: Floats
    thumb: float
    thumb_curl: float
    thickness: float
    arm_bend: float
    arm_length: float
    tilt: tuple[float, float]
    turn: float
    palm_seen: bool
    thumb_right: bool


@dataclass(frozen=True)
class Plan:
    """Which digits a hand has: fingers at places 0..1 across the palm, thumbs by their angle's offset and side."""

    places: tuple[float, ...] = tuple(_ACROSS)
    thumbs: tuple[tuple[float, int], ...] = ((0.0, 1),)
    fused: int | None = None
    bent: int | None = None
    bend: tuple[float, ...] = (0.0, 0.0, 0.0)
    width: float = 1.0


def draw_pose(rng: Generator) -> Pose:
    """A random relaxed pose of an open hand."""
    return Pose(
        spread=rng.uniform(1.0, 1.65),
        jitter=rng.uniform(-1, 1, 6) * np.radians(2.0),
        curl=np.radians(rng.uniform(0, 1, (6, 1)) * (4, 7, 5) + rng.uniform(0, 1) * np.array([12, 18, 12])),
        thumb=np.radians(rng.uniform(36, 56)),
        thumb_curl=np.radians(rng.uniform(-4, 20)),
        thickness=rng.uniform(0.88, 1.06),
        arm_bend=np.radians(rng.uniform(-12, 12)),
        arm_length=4.0,
        tilt=(np.radians(rng.uniform(-16, 16)), np.radians(rng.uniform(-20, 20))),
        turn=np.radians(rng.uniform(-38, 38)),
        palm_seen=bool(rng.random() < 0.5),
        thumb_right=bool(rng.random() < 0.5),
    )


def draw_studio_pose(rng: Generator) -> Pose:
    """A random pose of the kind that is easiest to draw: the back of an upright open hand, fingers well apart."""
    return Pose(
        spread=rng.uniform(1.35, 1.6),
        jitter=rng.uniform(-1, 1, 6) * np.radians(1.5),
        curl=np.radians(rng.uniform(0, 1, (6, 1)) * (2, 4, 3) + rng.uniform(0, 1) * np.array([5, 8, 5])),
        thumb=np.radians(rng.uniform(44, 54)),
        thumb_curl=np.radians(rng.uniform(0, 12)),
        thickness=rng.uniform(0.94, 1.04),
        arm_bend=np.radians(rng.uniform(-5, 5)),
        arm_length=4.0,
        tilt=(np.radians(rng.uniform(-6, 6)), np.radians(rng.uniform(-8, 8))),
        turn=np.radians(rng.uniform(-14, 14)),
        palm_seen=False,
        thumb_right=bool(rng.random() < 0.5),
    )


def draw_plan(kind: str, rng: Generator) -> Plan:
    """The digits of a hand of `kind`, where the kind leaves a choice drawn at random."""
    match kind:
        case "three_fingers" | "four_fingers" | "six_fingers" | "seven_fingers":
            fingers = FINGER_COUNTS[kind] - 1
            return Plan(places=_spaced(fingers, rng), width=1 + 0.14 * (fingers - 4))
        case "fused":
            return Plan(fused=int(rng.integers(3)))
        case "extra_thumb":
            beside = rng.random() < 0.5
            return Plan(thumbs=((-0.12, 1), (0.5, 1)) if beside else ((0.0, 1), (0.0, -1)))
        case "bent_wrong":
            return Plan(bent=int(rng.integers(4)), bend=_draw_bend(rng))
    return Plan()


def _spaced(fingers: int, rng: Generator) -> tuple[float, ...]:
    gaps = rng.uniform(0.8, 1.2, fingers - 1)
    return (0.0, *np.cumsum(gaps / gaps.sum()))


def _draw_bend(rng: Generator) -> tuple[float, ...]:
    angle = np.radians(rng.uniform(65, 100)) * rng.choice((-1, 1))
    hook = np.radians(rng.uniform(0, 40)) * np.sign(angle)
    return (0.0, angle, hook) if rng.random() < 0.7 else (angle * 0.5, angle * 0.6, 0.0)


def shape_hand(pose: Pose, plan: Plan) -> HandShape:
    """The hand in its own coordinates, before it is turned to the viewer."""
    chains = [_finger(pose, plan, number) for number in range(len(plan.places))]
    digits = _digits(chains, plan)
    thumbs = [_thumb(pose, *thumb) for thumb in plan.thumbs]
    flesh = np.concatenate([_pads(plan), _webs(chains), *(bases for bases, _ in thumbs)])
    return HandShape(
        palm=_thickened(_palm(plan), pose.thickness),
        flesh=_thickened(flesh, pose.thickness),
        forearm=_thickened(_forearm(pose), pose.thickness),
        digits=(*digits, *(Digit((chain,)) for _, chain in thumbs)),
        lines=_lines(),
    )


def _thickened(capsules: Floats, factor: float) -> Floats:
    return capsules * (1, 1, 1, factor)


def _between(table: Floats, place: float) -> Floats:
    low = min(int(place * 3), 2)
    share = place * 3 - low
    return table[low] * (1 - share) + table[low + 1] * share


def _directions(sideways: Floats, forward: Floats) -> Floats:
    flat = np.cos(forward)
    return np.column_stack([np.sin(sideways) * flat, np.cos(sideways) * flat, np.sin(forward)])


def _knuckle(place: float, width: float) -> Floats:
    x, y = _between(_KNUCKLES, place)
    return np.array([x * width, y, 0.0])


def _chain(start: Floats, lengths: Floats, radii: Floats, sideways: Floats, forward: Floats) -> Floats:
    steps = lengths[:, None] * _directions(sideways, forward)
    joints = np.vstack([start, start + np.cumsum(steps, axis=0)])
    ends = np.column_stack([joints, radii])
    return np.stack([ends[:-1], ends[1:]], axis=1)


def _finger(pose: Pose, plan: Plan, number: int) -> Floats:
    place = plan.places[number]
    crowding = min(1.0, 4.7 / len(plan.places))
    radii = _between(_RADII, place) * pose.thickness * crowding
    lengths = _between(_PHALANGES, place)
    lengths[-1] -= radii[-1]
    fan = _between(_FAN, place) * pose.spread * plan.width + pose.jitter[number]
    sideways, forward = np.full(3, fan), np.cumsum(pose.curl[number])
    if plan.bent == number:
        sideways += np.cumsum(plan.bend)
        # The bent part passes in front of its neighbours on the side that is seen, instead of through them.
        forward += np.array([0.0, 0.12, 0.12]) * (1 if pose.palm_seen else -1)
    return _chain(_knuckle(place, plan.width), lengths, radii, sideways, forward)


def _digits(chains: list[Floats], plan: Plan) -> list[Digit]:
    if plan.fused is None:
        return [Digit((chain,)) for chain in chains]
    first, second = chains[plan.fused], chains[plan.fused + 1]
    second = _alongside(second, first)
    filling = (first + second) / 2
    filling[-1, 1] = filling[-1, 0] * 0.8 + filling[-1, 1] * 0.2
    rest = [Digit((chain,)) for i, chain in enumerate(chains) if i not in (plan.fused, plan.fused + 1)]
    return [*rest, Digit((first, second, filling))]


def _alongside(chain: Floats, other: Floats) -> Floats:
    """`chain` turned parallel to `other` and made about as long."""
    own, steps = np.diff(chain[..., :3], axis=1), np.diff(other[..., :3], axis=1)
    lengths = (np.linalg.norm(own, axis=-1) + np.linalg.norm(steps, axis=-1)) / 2
    steps *= lengths[..., None] / np.linalg.norm(steps, axis=-1, keepdims=True)
    joints = np.vstack([chain[0, 0, :3], chain[0, 0, :3] + np.cumsum(steps[:, 0], axis=0)])
    ends = np.stack([joints[:-1], joints[1:]], axis=1)
    return np.concatenate([ends, chain[..., 3:]], axis=-1)


def _thumb(pose: Pose, offset: float, side: int) -> tuple[Floats, Floats]:
    """The ball of the thumb, which belongs to the palm, and the chain of its two phalanges."""
    angle = pose.thumb + offset
    start = np.array([0.16, 0.16, 0.05])
    ball = _chain(start, np.array([0.47]), np.array([0.165, 0.145]), np.array([angle]), np.array([0.25]))
    knuckle = ball[0, 1, :3]
    web = np.array([[*(start + knuckle) / 2, 0.13], [0.24, 0.62, 0.0, 0.11]])
    lengths = np.array(_THUMB_PHALANGES) - (0, _THUMB_RADII[-1])
    sideways = angle - np.cumsum([0.18, pose.thumb_curl])
    chain = _chain(knuckle, lengths, np.array(_THUMB_RADII) * pose.thickness, sideways, np.array([0.2, 0.2]))
    mirror = (side, 1, 1, 1)
    return np.concatenate([ball, web[None]]) * mirror, chain * mirror


def _palm(plan: Plan) -> Floats:
    rays = []
    for place in np.linspace(0, 1, 6):
        knuckle = _knuckle(place, plan.width)
        rays.append([[knuckle[0] * 0.36 - 0.01, 0.1, 0.035, 0.165], [*knuckle[:2] * (1, 0.97), 0.0, 0.135]])
    return np.array(rays)


def _pads(plan: Plan) -> Floats:
    """The cushions below the thumb and on the little finger's side."""
    pads = [
        [[0.13, 0.2, 0.05, 0.165], [0.29, 0.42, 0.08, 0.15]],
        [[-0.13, 0.14, 0.04, 0.155], [-0.29 * plan.width, 0.5, 0.04, 0.145]],
    ]
    return np.array(pads)


def _webs(chains: list[Floats]) -> Floats:
    """Skin between the roots of neighbouring fingers."""
    roots = [chain[0, 0] * 0.9 + chain[0, 1] * 0.1 for chain in chains]
    webs = [[[*first[:3], 0.075], [*second[:3], 0.075]] for first, second in pairwise(roots)]
    near = [web for web in webs if np.hypot(*(np.array(web[0]) - web[1])[:2]) < 0.34]
    return np.array(near).reshape(-1, 2, 4)


def _forearm(pose: Pose) -> Floats:
    x, y = -pose.arm_length * np.sin(pose.arm_bend), -pose.arm_length * np.cos(pose.arm_bend)
    return np.array([[[0.0, 0.0, 0.0, 0.26], [x, y, 0.0, 0.26 + 0.035 * pose.arm_length]]])


def _lines() -> tuple[Floats, ...]:
    """The three lines of a palm: around the ball of the thumb, across the middle, below the fingers."""
    curves = (
        [[0.34, 0.70], [-0.06, 0.62], [0.05, 0.10]],
        [[0.34, 0.71], [0.08, 0.63], [-0.28, 0.40]],
        [[-0.41, 0.60], [-0.08, 0.64], [0.12, 0.88]],
    )
    return tuple(_curve(*np.array(curve)) for curve in curves)


def _curve(start: Floats, bend: Floats, end: Floats) -> Floats:
    share = np.linspace(0, 1, 12)[:, None]
    points = (1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * end
    return np.column_stack([points, np.full(12, 0.2), np.zeros(12)])


def turned(shape: HandShape, pose: Pose) -> HandShape:
    """The hand turned to the viewer: x right, y down, z toward the viewer."""
    side = np.diag([1.0 if pose.thumb_right else -1.0, 1.0, 1.0 if pose.palm_seen else -1.0])
    tilt = _turn(0, pose.tilt[0]) @ _turn(1, pose.tilt[1])
    down = np.diag([1.0, -1.0, 1.0])
    return moved(shape, down @ _turn(2, pose.turn) @ tilt @ side)


def _turn(axis: int, angle: float) -> Floats:
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


def moved(
    shape: HandShape, matrix: Floats | None = None, scale: float = 1.0, offset: Floats | None = None
) -> HandShape:
    """Every point multiplied by `matrix` `[3, 3]` and `scale`, then shifted by `offset` `[3]`; radii are scaled."""
    matrix = np.eye(3) if matrix is None else matrix
    offset = np.zeros(3) if offset is None else offset

    def move(points: Floats) -> Floats:
        return np.concatenate([points[..., :3] @ matrix.T * scale + offset, points[..., 3:] * scale], axis=-1)

    digits = tuple(Digit(tuple(move(chain) for chain in digit.chains)) for digit in shape.digits)
    lines = tuple(move(line) for line in shape.lines)
    return HandShape(move(shape.palm), move(shape.flesh), move(shape.forearm), digits, lines)


def extent(shape: HandShape) -> tuple[Floats, Floats]:
    """The lowest and highest x and y that palm, digits and a little wrist reach."""
    wrist = shape.forearm[:, 0] * (1, 1, 1, 0.95)
    parts = [shape.palm, shape.flesh, *(chain for digit in shape.digits for chain in digit.chains)]
    ends = np.concatenate([np.concatenate(parts).reshape(-1, 4), wrist])
    return (ends[:, :2] - ends[:, 3:]).min(axis=0), (ends[:, :2] + ends[:, 3:]).max(axis=0)
