from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from fairhands.data import mannequin
from fairhands.data.layout import Area
from fairhands.data.mannequin import KINDS, RIGHT, STUDIO_KINDS, Mannequin, draw, is_right
from fairhands.data.pose import FINGER_COUNTS, Plan, draw_plan, draw_pose, shape_hand

COUNTS = {
    "right": 5,
    "three_fingers": 3,
    "four_fingers": 4,
    "six_fingers": 6,
    "seven_fingers": 7,
    "fused": 4,
    "extra_thumb": 6,
    "bent_wrong": 5,
}


def same(first: Mannequin, second: Mannequin) -> bool:
    pictures = np.array_equal(first.picture, second.picture) and np.array_equal(first.mask, second.mask)
    return pictures and (first.boxes, first.kind, first.face_box) == (second.boxes, second.kind, second.face_box)


def inside_boxes(drawn: Mannequin) -> NDArray[np.bool_]:
    covered = np.zeros_like(drawn.mask)
    for x, y, width, height in drawn.boxes:
        covered[y : y + height, x : x + width] = True
    return covered


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def generators(seed: int) -> tuple[Generator, Generator]:
    return Generator(PCG64(seed)), Generator(PCG64(seed + 1000))


@pytest.mark.parametrize("body", [False, True])
def test_a_seed_gives_one_picture_whatever_was_drawn_before(body: bool) -> None:
    first = draw(7, 96, hands=2, body=body)
    draw(8, 64)
    assert same(first, draw(7, 96, hands=2, body=body))
    assert not same(first, draw(8, 96, hands=2, body=body))


@pytest.mark.parametrize(("hands", "body"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("seed", range(4))
def test_every_size_shows_the_same_scene(seed: int, hands: int, body: bool) -> None:
    small, large = draw(seed, 128, hands=hands, body=body), draw(seed, 512, hands=hands, body=body)
    assert small.kind == large.kind
    np.testing.assert_allclose(np.array(large.boxes) / 4, small.boxes, atol=2)
    shrunk = cv2.resize(large.mask.astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA) >= 0.5
    assert overlap(small.mask, shrunk) > 0.96
    assert small.mask.sum() == pytest.approx(shrunk.sum(), rel=0.04)
    picture = cv2.resize(large.picture, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.astype(float) - small.picture).mean() < 3


@pytest.mark.parametrize("size", [64, 1024, (64, 200), (300, 96), (257, 129)])
@pytest.mark.parametrize("body", [False, True])
def test_any_size_and_shape(size: int | tuple[int, int], body: bool) -> None:
    rows, columns = size if isinstance(size, tuple) else (size, size)
    drawn = draw(3, size, body=body)
    assert drawn.picture.shape == (rows, columns, 3)
    assert drawn.picture.dtype == np.uint8
    assert drawn.mask.shape == (rows, columns)
    assert drawn.mask.dtype == np.bool_
    assert drawn.mask.sum() > 0.02 * min(rows, columns) ** 2
    for x, y, width, height in (*drawn.boxes, *([drawn.face_box] if drawn.face_box else [])):
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= columns
        assert y + height <= rows


@pytest.mark.parametrize("hands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_hold_the_mask_tightly_and_apart(seed: int, hands: int) -> None:
    drawn = draw(seed, 160, hands=hands)
    assert len(drawn.boxes) == len(drawn.kind) == len(drawn.finger_count) == hands
    assert not (drawn.mask & ~inside_boxes(drawn)).any()
    assert inside_boxes(drawn).sum() == sum(width * height for _, _, width, height in drawn.boxes)
    for x, y, width, height in drawn.boxes:
        inside = drawn.mask[y : y + height, x : x + width]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@pytest.mark.parametrize("seed", range(8))
def test_one_hand_fills_much_of_the_picture(seed: int) -> None:
    _, _, width, height = draw(seed, 200, kind="right").boxes[0]
    assert 0.42 <= max(width, height) / 200 <= 0.88


@pytest.mark.parametrize("seed", range(8))
def test_the_mask_is_what_the_hand_covers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    green = np.array([0.0, 1.0, 0.0], np.float32)[:, None, None]
    monkeypatch.setattr(
        mannequin, "draw_background", lambda rng, rows, columns, avoid: green + np.zeros((3, rows, columns), np.float32)
    )
    drawn = draw(seed, 256)
    foreground = (drawn.picture != (0, 255, 0)).any(axis=-1)
    assert not (drawn.mask & ~foreground).any()
    # Above the middle of its box there is no arm, so that all that is drawn there is hand, but for half-covered edges.
    _, y, _, height = drawn.boxes[0]
    around = cv2.dilate(drawn.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not (foreground & ~around)[: y + height // 2].any()
    assert foreground[y + height :].any(), "the arm goes on below the hand but is no part of it"


@pytest.mark.parametrize("seed", range(4))
def test_what_an_arm_hides_is_not_in_the_mask(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_second_hand_at(y: float) -> Mannequin:
        areas = [Area(0.0, 0.3, 0.4, 0.7), Area(0.4, y, 0.18, 0.3)]
        monkeypatch.setattr(mannequin, "cells", lambda count, height, width: areas)
        return draw(seed, 160, hands=2, kind="right")

    # The second hand's arm leaves the picture to the left, over the first hand or above it.
    crossed, free = with_second_hand_at(0.45), with_second_hand_at(0.0)
    first = np.s_[:, : int(0.4 * 160)]
    hidden = free.mask[first] & ~crossed.mask[first]
    assert hidden.sum() > 0.02 * free.mask[first].sum()
    assert (crossed.picture[first][hidden] != free.picture[first][hidden]).any(axis=-1).mean() > 0.95


@pytest.mark.parametrize("seed", range(6))
def test_hands_stand_out_from_the_background(seed: int) -> None:
    drawn = draw(seed, 128)
    ring = cv2.dilate(drawn.mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    ring &= ~cv2.dilate(drawn.mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    inside, outside = drawn.picture[drawn.mask].mean(axis=0), np.median(drawn.picture[ring], axis=0)
    assert np.linalg.norm(inside - outside) > 30


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_digits(kind: str) -> None:
    assert draw(5, 64, hands=2, kind=kind).finger_count == (COUNTS[kind],) * 2
    assert draw(5, 64, hands=2, kind=kind).kind == (kind,) * 2
    for seed in range(20):
        rng, choices = generators(seed)
        assert len(shape_hand(draw_pose(rng), draw_plan(kind, choices)).digits) == COUNTS[kind]


def test_only_the_right_kind_is_right() -> None:
    assert set(KINDS) == set(COUNTS) == set(FINGER_COUNTS)
    assert [kind for kind in KINDS if is_right(kind)] == ["right"]


def sharpest_bend(plan: Plan, seed: int) -> float:
    """The largest angle between neighbouring phalanges as seen from the front, in degrees."""
    bends = [0.0]
    for digit in shape_hand(draw_pose(Generator(PCG64(seed))), plan).digits:
        along = np.diff(digit.chains[0][..., :2], axis=1)[:, 0]
        angles = np.degrees(np.arctan2(along[:, 0], along[:, 1]))
        bends += list(np.abs(np.diff(angles)))
    return float(max(bends))


@pytest.mark.parametrize("seed", range(10))
def test_only_a_wrong_finger_bends_sideways(seed: int) -> None:
    choices = Generator(PCG64(seed + 1000))
    assert sharpest_bend(draw_plan("bent_wrong", choices), seed) > 30
    assert sharpest_bend(draw_plan("right", choices), seed) < 25


@pytest.mark.parametrize("seed", range(10))
def test_fused_fingers_leave_no_gap(seed: int) -> None:
    rng, choices = generators(seed)
    fused = [d for d in shape_hand(draw_pose(rng), draw_plan("fused", choices)).digits if len(d.chains) > 1]
    assert len(fused) == 1
    first, second, filling = fused[0].chains
    for share in (0.1, 0.5, 0.9):
        joints = [chain[1, 0] * (1 - share) + chain[1, 1] * share for chain in (first, filling, second)]
        for one, other in pairwise(joints):
            assert np.linalg.norm(one[:3] - other[:3]) < one[3] + other[3]


def test_kinds_differ_in_the_hand_alone() -> None:
    right, other = (draw(11, 128, kind=kind) for kind in ("right", "seven_fingers"))
    assert not np.array_equal(right.picture, other.picture)
    corners = np.ix_([0, 1, 2, 3], [0, 1, 2, 124, 125, 126, 127])
    assert np.array_equal(right.picture[corners], other.picture[corners])


def test_about_half_are_right_and_every_kind_occurs() -> None:
    kinds = [kind for seed in range(40) for kind in draw(seed, 64, hands=6).kind]
    assert 90 <= sum(map(is_right, kinds)) <= 150
    assert set(kinds) == set(KINDS)
    assert all(kinds.count(kind) < 40 for kind in KINDS[1:])


@pytest.mark.parametrize("hands", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_body_has_a_face_beside_the_hands(seed: int, hands: int) -> None:
    drawn = draw(seed, 256, hands=hands, body=True)
    assert draw(seed, 64).face_box is None
    assert drawn.face_box is not None
    x, y, width, height = drawn.face_box
    assert 0.12 < width / 256 < 0.35
    assert 1 < height / width < 1.5
    assert not drawn.mask[y : y + height, x : x + width].any()
    assert len(drawn.boxes) == hands
    eyes = drawn.picture[y : y + height, x : x + width].max(axis=-1)
    assert eyes.min() < 60, "pupils are dark"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 63}, r"size: expected .* 64 .* found 63"),
        ({"size": (64, 10)}, r"size: expected .* 64 .* found \(64, 10\)"),
        ({"kind": "paw"}, r"kind: expected one of right, .* found 'paw'"),
        ({"hands": 0}, r"hands: expected 1 or more, found 0"),
        ({"hands": 3, "body": True}, r"hands: expected 1 or 2 .* found 3"),
        ({"seed": -1}, r"seed: expected 0 or more, found -1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(**{"seed": 0, **arguments})  # pyright: ignore[reportArgumentType]


def test_mediapipe_finds_them(hand_detector) -> None:
    found = 0
    for seed in range(100):
        drawn = draw(seed, 256, kind="right")
        x, y, width, height = drawn.boxes[0]
        centres = [(h.box[0] + h.box[2] / 2, h.box[1] + h.box[3] / 2) for h in hand_detector.detect(drawn.picture)]
        found += any(x <= at_x <= x + width and y <= at_y <= y + height for at_x, at_y in centres)
    assert found >= 90


@pytest.mark.parametrize("seed", range(6))
def test_a_studio_picture_shows_one_whole_large_hand_before_a_plain_background(seed: int) -> None:
    drawn = draw(seed, 128, studio=True)
    x, y, width, height = drawn.boxes[0]
    assert height > 70
    assert min(x, y) >= 0
    assert max(x + width, y + height) <= 128
    # A gradient between two colours: one row changes alike at each step.
    top = drawn.picture[0].astype(float)
    assert np.abs(np.diff(top, n=2, axis=0)).max() <= 2


def test_studio_hands_of_a_seed_differ_in_their_form_alone() -> None:
    pictures = [draw(4, 96, kind=kind, studio=True) for kind in STUDIO_KINDS]
    assert [drawn.finger_count[0] for drawn in pictures] == [5, 4, 6, 4, 6]
    for drawn in pictures[1:]:
        assert np.array_equal(drawn.picture[:, 0], pictures[0].picture[:, 0])
        assert not same(drawn, pictures[0])


def test_half_of_the_studio_hands_are_right() -> None:
    kinds = [draw(seed, 64, studio=True).kind[0] for seed in range(200)]
    assert 70 <= kinds.count(RIGHT) <= 130
    assert set(kinds) == set(STUDIO_KINDS)


def test_the_studio_has_room_for_one_hand_of_its_own_kinds() -> None:
    with pytest.raises(ValueError, match="studio: expected one hand, found hands=2"):
        draw(0, 64, hands=2, studio=True)
    with pytest.raises(ValueError, match=r"kind: expected one of right, four_fingers, .* found 'bent_wrong'"):
        draw(0, 64, kind="bent_wrong", studio=True)


@pytest.mark.parametrize("seed", range(12))
def test_a_figure_raises_a_whole_hand_beside_its_face(seed: int) -> None:
    drawn = draw(seed, 192, body=True, studio=True)
    (left, top, width, height), face = drawn.boxes[0], drawn.face_box
    assert face is not None
    assert drawn.kind[0] in STUDIO_KINDS
    assert left > face[0] + face[2]
    assert top > 0
    assert left + width < 192
    assert 0.27 < height / 192 < 0.36
    assert 0.18 < face[3] / 192 < 0.24


def test_figures_of_a_seed_differ_in_their_hands_form_alone() -> None:
    pictures = [draw(4, 192, kind=kind, body=True, studio=True).picture for kind in STUDIO_KINDS]
    for first, second in pairwise(pictures):
        assert np.array_equal(first[:, :95], second[:, :95])
        assert not np.array_equal(first, second)


@pytest.mark.parametrize(("right", "least", "most"), [(0.0, 0, 0), (0.1, 3, 40), (1.0, 200, 200)])
def test_as_many_hands_are_right_as_is_asked_for(right: float, least: int, most: int) -> None:
    kinds = [draw(seed, 64, studio=True, right=right).kind[0] for seed in range(200)]
    assert least <= kinds.count(RIGHT) <= most


def test_foliage_hangs_above_and_behind_figures_and_leaves_the_rest_as_it_is() -> None:
    plain, leafy = (draw(4, 192, body=True, studio=True, foliage=foliage) for foliage in (False, True))
    changed = (plain.picture != leafy.picture).any(axis=2)
    assert changed[: 192 // 3].mean() > 0.6
    assert not changed[192 * 9 // 20 :].any()
    assert (leafy.boxes, leafy.face_box, leafy.kind) == (plain.boxes, plain.face_box, plain.kind)
