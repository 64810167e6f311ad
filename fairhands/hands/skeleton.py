"""The flesh around 21 joints: how thick a hand is at each of them, measured in lengths of its palm."""

from itertools import pairwise

import numpy as np

from .hand import Box, box_around

WRIST = 0
PALM = (0, 1, 5, 9, 13, 17)
# The skin between thumb and index finger.
THUMB_WEB = (1, 2, 5)
FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
BONES = tuple(bone for finger in FINGERS for bone in pairwise(finger))

# An adult's palm from wrist to middle knuckle is about 95 mm; these are half widths at the joints over that.
_THUMB = (0.22, 0.17, 0.14, 0.13)
_FINGER = (0.16, 0.13, 0.115, 0.11)
_LITTLE_FINGER = (0.15, 0.115, 0.10, 0.095)
RADII = np.array([0.28, *_THUMB, *_FINGER * 3, *_LITTLE_FINGER], dtype=np.float32)

# Lengths within the palm over the palm's own. Perspective only shortens them, so the longest is the truest.
_PALM_LENGTHS = ((0, 5, 0.98), (0, 9, 1.0), (0, 13, 0.95), (0, 17, 0.9), (5, 17, 0.65))


def palm_length(landmarks: np.ndarray) -> float:
    """Pixels from wrist to middle knuckle, as they would be in a palm seen straight on; landmarks `[21, 2]`."""
    return max(float(np.hypot(*(landmarks[one] - landmarks[other]))) / share for one, other, share in _PALM_LENGTHS)


def joint_radii(landmarks: np.ndarray) -> np.ndarray:
    """Half the width of the flesh at each joint, float32 `[21]` pixels; landmarks `[21, 2]`."""
    return RADII * np.float32(palm_length(landmarks))


def box_of_flesh(landmarks: np.ndarray) -> Box:
    """The box around the joints and their flesh, not clipped to any picture; landmarks `[21, 2]`."""
    radii = joint_radii(landmarks)[:, None]
    return box_around(np.concatenate([landmarks - radii, landmarks + radii]))
