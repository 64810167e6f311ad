"""Hand and face detection on MediaPipe's Tasks API."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
import torch
from mediapipe.tasks.python import BaseOptions, vision

from .hand import Box, Face, Hand, Side, box_around, clip_box, merge
from .pictures import as_rgb, as_rgb_batch
from .tiles import search_tiles

# Pictures smaller than this make MediaPipe fail, and hold no hand.
SMALLEST_SIDE = 16


class _OpenTasks:
    """MediaPipe tasks, kept open because loading one takes longer than a search; used by one thread at a time.

    The one that was not used for longest is closed when there are too many, all when the program ends: MediaPipe's own
    destructor raises when it is left to the interpreter's end.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        # MediaPipe closes a task on a thread pool, and pools are gone when `atexit` runs; this runs before that.
        threading._register_atexit(self.close)  # type: ignore[attr-defined]

    def detect(self, key: Hashable, create: Callable[[], Any], picture: np.ndarray) -> Any:
        """The result of the task with that key, created where it is not open, for a uint8 RGB picture."""
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = create()
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._most:
                self._tasks.popitem(last=False)[1].close()
            return self._tasks[key].detect(image)

    def close(self) -> None:
        """Close all tasks; a later search opens its task again."""
        with self._lock:
            while self._tasks:
                self._tasks.popitem()[1].close()


_open_tasks = _OpenTasks(most=4)


@dataclass(frozen=True)
class HandDetector:
    """Finds hands in pictures.

    `model_path`: `hand_landmarker.task`; `threshold`: least confidence of the palm detector, 0..1; `max_hands`: the
    most hands in a picture; `min_size`: least length of a hand's box relative to the picture's longer side, 0..1;
    `tiles`: above 1, search again in `tiles` x `tiles` overlapping tiles, which finds small hands in large pictures.

    Equal detectors share one MediaPipe task, which stays open for the next search.
    """

    model_path: Path
    threshold: float = 0.5
    max_hands: int = 4
    min_size: float = 0.0
    tiles: int = 1

    def detect(self, picture: np.ndarray) -> list[Hand]:
        """The hands of one picture (see `as_rgb`), best score first. Raises ValueError for what is no picture."""
        picture = as_rgb(picture)
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            return []
        hands = self._search(picture)
        if self.tiles > 1:
            hands = merge(hands + search_tiles(picture, self.tiles, self._search))
        smallest = self.min_size * max(height, width)
        return [hand for hand in hands if max(hand.box[2:]) >= smallest][: self.max_hands]

    def detect_batch(self, pictures: torch.Tensor | Sequence[np.ndarray]) -> list[list[Hand]]:
        """The hands of each picture of an IMAGE `[B, H, W, 3]`, float 0..1, or of a sequence of arrays."""
        return [self.detect(picture) for picture in as_rgb_batch(pictures)]

    def _search(self, picture: np.ndarray) -> list[Hand]:
        result = _open_tasks.detect(self, self._create, picture)
        found = zip(result.handedness, result.hand_landmarks, strict=True)
        hands = [_hand(sides[0], landmarks, picture.shape) for sides, landmarks in found]
        return sorted(hands, key=lambda hand: hand.score, reverse=True)

    def _create(self) -> vision.HandLandmarker:
        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=self.model_path.read_bytes()),
            num_hands=self.max_hands,
            min_hand_detection_confidence=self.threshold,
        )
        return vision.HandLandmarker.create_from_options(options)


@dataclass(frozen=True)
class FaceDetector:
    """Finds faces in pictures; `model_path`: `face_detection_full_range_sparse.tflite`, `threshold`: 0..1."""

    model_path: Path
    threshold: float = 0.5

    def detect(self, picture: np.ndarray) -> list[Face]:
        """The faces of one picture (see `as_rgb`), best score first. Raises ValueError for what is no picture."""
        picture = as_rgb(picture)
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            return []
        result = _open_tasks.detect(self, self._create, picture)
        faces = [Face(_face_box(found, width, height), found.categories[0].score) for found in result.detections]
        return sorted(faces, key=lambda face: face.score, reverse=True)

    def detect_batch(self, pictures: torch.Tensor | Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each picture of an IMAGE `[B, H, W, 3]`, float 0..1, or of a sequence of arrays."""
        return [self.detect(picture) for picture in as_rgb_batch(pictures)]

    def _create(self) -> vision.FaceDetector:
        options = vision.FaceDetectorOptions(
            base_options=BaseOptions(model_asset_buffer=self.model_path.read_bytes()),
            min_detection_confidence=self.threshold,
        )
        return vision.FaceDetector.create_from_options(options)


def _hand(side: Any, landmarks: Any, shape: tuple[int, ...]) -> Hand:
    height, width = shape[:2]
    points = np.array([(point.x * width, point.y * height) for point in landmarks], dtype=np.float32)
    # The Tasks API names the person's own side in an unmirrored photo; the older API did so in a mirrored one.
    own_side: Side = "left" if side.category_name == "Left" else "right"
    return Hand(clip_box(box_around(points), width, height), float(side.score), own_side, points)


def _face_box(found: Any, width: int, height: int) -> Box:
    box = found.bounding_box
    return clip_box((box.origin_x, box.origin_y, box.width, box.height), width, height)
