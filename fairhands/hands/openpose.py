"""Hands out of a POSE_KEYPOINT value: OpenPose's JSON, as pose detectors for ComfyUI give it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .hand import LANDMARKS, Hand, Side, box_around, clip_box

LEAST_CONFIDENCE = 0.1
LEAST_JOINTS = 4


def hands_from_pose(poses: Sequence[Any], batch: int, height: int, width: int) -> list[list[Hand]]:
    """The hands of each picture, in its pixels; the joints are in the same order as MediaPipe's.

    `poses`: for each picture an object with `people`, `canvas_width` and `canvas_height`; a person's
    `hand_left_keypoints_2d` and `hand_right_keypoints_2d` are flat lists of x, y, confidence in canvas pixels or
    relative to the canvas (0..1), and may be missing. The score is the mean confidence of the joints that count.
    Raises ValueError where the number of poses does not fit the pictures, or a pose is of another form.
    """
    poses = [poses] if isinstance(poses, dict) else list(poses)
    if len(poses) not in (1, batch):
        raise ValueError(f"pose_keypoint holds {len(poses)} poses for {batch} pictures: give one for each picture.")
    found = [_hands(pose, height, width) for pose in poses]
    return found * batch if len(found) == 1 else found


def _hands(pose: Any, height: int, width: int) -> list[Hand]:
    if not isinstance(pose, dict) or not isinstance(pose.get("people"), list):
        raise ValueError("pose_keypoint is not in OpenPose's form: expected an object with `people` for each picture.")
    canvas = float(pose.get("canvas_width") or width), float(pose.get("canvas_height") or height)
    scale = np.array([width / canvas[0], height / canvas[1]])
    hands = []
    for person in pose["people"]:
        sides: tuple[Side, ...] = ("left", "right")
        for side in sides:
            joints = _joints(person.get(f"hand_{side}_keypoints_2d"), canvas)
            if joints is not None:
                hands.append(_hand(joints, scale, side, height, width))
    return [hand for hand in hands if hand is not None]


def _joints(flat: Any, canvas: tuple[float, float]) -> np.ndarray | None:
    """Joints `[21, 3]` in canvas pixels, or None where there is no whole hand of them."""
    if not flat or len(flat) != LANDMARKS * 3:
        return None
    joints = np.array(flat, dtype=np.float64).reshape(LANDMARKS, 3)
    if joints[:, :2].max() <= 1.0:
        joints[:, :2] *= canvas
    return joints


def _hand(joints: np.ndarray, scale: np.ndarray, side: Side, height: int, width: int) -> Hand | None:
    sure = joints[:, 2] >= LEAST_CONFIDENCE
    if sure.sum() < LEAST_JOINTS:
        return None
    points = (joints[:, :2] * scale).astype(np.float32)
    box = clip_box(box_around(points[sure]), width, height)
    # A skeleton with holes cannot be drawn; its box can.
    return Hand(box, float(joints[sure, 2].mean()), side, points if sure.all() else None)
