"""Poses are drawn in OpenPose's colours, in widths that grow with the picture."""

import numpy as np
import pytest

from fairhands.data.preparing_humans.pose_map import BODY_COLOURS, LIMBS, draw_poses
from fairhands.data.preparing_humans.skeletons import BODY, Skeleton


def body(size: int = 512) -> np.ndarray:
    """18 points apart from each other, no three of them on a line."""
    around = np.arange(BODY) * 2 * np.pi / BODY
    points = np.stack([0.5 + 0.4 * np.cos(around), 0.5 + 0.4 * np.sin(around), np.ones(BODY)], axis=1)
    return (points * (size, size, 1)).astype(np.float32)


def test_the_18_colours_are_those_that_control_nets_learnt():
    known = {0: (255, 0, 0), 1: (255, 85, 0), 4: (170, 255, 0), 9: (0, 255, 255), 13: (85, 0, 255), 17: (255, 0, 85)}
    assert {number: BODY_COLOURS[number] for number in known} == known
    assert len(BODY_COLOURS) == len(set(BODY_COLOURS)) == BODY


def test_each_joint_has_its_colour_and_each_limb_its_own_darker_one():
    points = body()
    drawn = draw_poses([Skeleton(points)], 512, 512)
    for point, colour in zip(points, BODY_COLOURS, strict=True):
        x, y = np.rint(point[:2]).astype(int)
        assert tuple(drawn[y, x]) == colour
    assert len(LIMBS) == 17
    for (one, other), colour in zip(LIMBS, BODY_COLOURS, strict=False):
        alone = np.zeros((BODY, 3), np.float32)
        alone[[one, other]] = points[[one, other]]
        x, y = np.rint((points[one, :2] + points[other, :2]) / 2).astype(int)
        assert tuple(draw_poses([Skeleton(alone)], 512, 512)[y, x]) == tuple(int(value * 0.6) for value in colour)


def test_what_is_not_there_and_what_is_far_outside_is_not_drawn():
    points = body()
    nothing = points * (1, 1, 0)
    far = points.copy()
    far[:, :2] = 3e8
    assert not draw_poses([Skeleton(nothing), Skeleton(far)], 512, 512).any()
    assert not draw_poses([], 40, 30).any()
    elbow_alone, wrist_far = (points * (np.arange(BODY) == 3)[:, None] for _ in range(2))
    wrist_far[4] = (9000, 200, 1)
    np.testing.assert_array_equal(*(draw_poses([Skeleton(one)], 512, 512) for one in (elbow_alone, wrist_far)))
    without_nose = points.copy()
    without_nose[0, 2] = 0
    assert draw_poses([Skeleton(without_nose)], 512, 512)[256, 256 + 204 : 256 + 206].max() == 0


@pytest.mark.parametrize("scale", [2, 4])
def test_widths_grow_with_the_picture(scale: int):
    small = draw_poses([Skeleton(body())], 512, 512)
    large = draw_poses([Skeleton(body(512 * scale))], 512 * scale, 512 * scale)
    covered = [(picture > 0).any(axis=2).mean() for picture in (small, large)]
    assert covered[1] == pytest.approx(covered[0], rel=0.1)


def test_the_shorter_side_counts_and_the_size_is_the_pictures():
    wide = draw_poses([Skeleton(body())], 1024, 512)
    assert wide.shape == (512, 1024, 3)
    np.testing.assert_array_equal(wide[:, :512], draw_poses([Skeleton(body())], 512, 512))


def test_hands_have_20_colours_and_blue_joints_and_faces_white_points_where_they_are_asked_for():
    around = np.arange(20) * 2 * np.pi / 20
    circle = np.stack([256 + 150 * np.cos(around), 256 + 150 * np.sin(around), np.ones(20)], axis=1)
    hand = np.concatenate([[[256, 300, 1]], circle])
    face = np.array([[100, 100, 1], [300, 300, 0]], np.float32)
    skeleton = Skeleton(None, (hand.astype(np.float32),), face)
    drawn = draw_poses([skeleton], 512, 512)
    colours = {tuple(colour) for colour in np.unique(drawn.reshape(-1, 3), axis=0).tolist()}
    assert len(colours - {(0, 0, 0), (255, 255, 255)}) == 21
    assert tuple(drawn[100, 100]) == (255, 255, 255)
    assert not drawn[290:310, 290:310].all(axis=2).any()
    x, y = np.rint(hand[0, :2]).astype(int)
    assert tuple(drawn[y, x]) == (0, 0, 255)
    without = draw_poses([skeleton], 512, 512, hands=False)
    assert set(map(tuple, without.reshape(-1, 3).tolist())) == {(0, 0, 0), (255, 255, 255)}
    assert not draw_poses([skeleton], 512, 512, hands=False, face=False).any()
