from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.hands.openpose import hands_from_pose

JOINTS = np.stack([np.linspace(100, 300, 21), np.linspace(400, 200, 21)], axis=1)


def flat(points: np.ndarray, confidence: Any = 0.9) -> list[float]:
    return np.column_stack([points, np.broadcast_to(confidence, len(points))]).ravel().tolist()


def pose(left: Any = None, right: Any = None, width: int = 512, height: int = 768) -> dict[str, Any]:
    person = {"pose_keypoints_2d": [], "hand_left_keypoints_2d": left, "hand_right_keypoints_2d": right}
    return {"people": [person], "canvas_width": width, "canvas_height": height}


def test_hands_in_pixels_are_brought_to_the_pictures_size() -> None:
    ((hand,),) = hands_from_pose([pose(left=flat(JOINTS))], 1, 1536, 256)
    assert hand.side == "left"
    assert hand.score == pytest.approx(0.9)
    assert hand.landmarks is not None
    np.testing.assert_allclose(hand.landmarks, JOINTS * [0.5, 2], rtol=1e-5)


@given(st.integers(64, 2000), st.integers(64, 2000), st.floats(0.3, 1))
def test_relative_and_absolute_keypoints_give_the_same_hand(width: int, height: int, confidence: float) -> None:
    relative = JOINTS / [512, 768]
    ((one,),) = hands_from_pose([pose(right=flat(relative, confidence))], 1, height, width)
    ((other,),) = hands_from_pose([pose(right=flat(JOINTS, confidence))], 1, height, width)
    assert one.landmarks is not None
    assert other.landmarks is not None
    np.testing.assert_allclose(one.landmarks, other.landmarks, rtol=1e-4)
    np.testing.assert_allclose(one.box, other.box, atol=0.1)
    x, y, box_width, box_height = one.box
    assert 0 <= x <= x + box_width <= width + 1e-6
    assert 0 <= y <= y + box_height <= height + 1e-6


def test_relative_keypoints_a_little_outside_of_the_canvas_stay_relative() -> None:
    ((hand,),) = hands_from_pose([pose(right=flat(JOINTS / [250, 768]))], 1, 100, 100)
    assert hand.landmarks is not None
    assert hand.landmarks[:, 0].max() == pytest.approx(120)


def test_a_hand_with_holes_is_a_box_around_what_is_sure() -> None:
    confidence = np.full(21, 0.8)
    confidence[5:] = 0.1
    ((hand,),) = hands_from_pose([pose(left=flat(JOINTS, confidence))], 1, 768, 512)
    assert hand.landmarks is None
    assert hand.box == pytest.approx((100, 360, 40, 40), abs=0.01)


def test_a_hand_with_fewer_than_4_sure_points_is_left_out() -> None:
    confidence = np.zeros(21)
    confidence[:3] = 1
    assert hands_from_pose([pose(left=flat(JOINTS, confidence), right=flat(JOINTS * 0))], 1, 768, 512) == [[]]


@pytest.mark.parametrize("empty", [{}, {"people": None}, {"people": []}, {"people": [{}]}, pose(), pose([], [])])
def test_what_is_missing_is_no_hand(empty: dict[str, Any]) -> None:
    assert hands_from_pose([empty], 1, 64, 64) == [[]]


def test_the_best_score_comes_first_and_every_person_counts() -> None:
    crowd = pose(flat(JOINTS, 0.5), flat(JOINTS, 0.7))
    crowd["people"] += pose(flat(JOINTS, 0.6))["people"]
    ((first, second, third),) = hands_from_pose([crowd], 1, 768, 512)
    assert [first.score, second.score, third.score] == pytest.approx([0.7, 0.6, 0.5])
    assert first.side == "right"


def test_one_pose_serves_all_pictures_and_another_number_is_refused() -> None:
    one = pose(left=flat(JOINTS))
    assert [len(hands) for hands in hands_from_pose([one], 3, 768, 512)] == [1, 1, 1]
    assert [len(hands) for hands in hands_from_pose([one, pose()], 2, 768, 512)] == [1, 0]
    assert len(hands_from_pose(one, 1, 768, 512)) == 1
    with pytest.raises(ValueError, match="for 2 pictures, expected 1 or 3"):
        hands_from_pose([one, one], 3, 768, 512)


@pytest.mark.parametrize("length", [62, 66])
def test_keypoints_that_are_no_21_triples_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"hand_left_keypoints_2d of pose_keypoint holds {length} numbers"):
        hands_from_pose([pose(left=[0.5] * length)], 1, 64, 64)
