"""Hand and face detection on MediaPipe's Tasks API.

MediaPipe is imported at the first search: that takes a second, which ComfyUI's start should not wait for.
"""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .hand import Box, Face, Hand, Side, by_score, clip_box
from .pictures import as_rgb, as_rgb_batch
from .skeleton import box_of_flesh
from .tiles import search_with_tiles

if TYPE_CHECKING:
    from typing_extensions import Self


class _OpenTasks:
    """MediaPipe tasks, kept open because loading one takes longer than a search; used by one thread at a time.

    The one that was not used for longest is closed when there are too many, all when the program ends: MediaPipe's own
    destructor raises when it is left to the interpreter's end.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._closes_at_exit = False

    def detect(self, key: Hashable, create: Callable[[], Any], picture: np.ndarray) -> Any:
        """The result of the task with that key, created where it is not open, for a uint8 RGB picture."""
        import mediapipe

        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = create()
                self._close_at_exit()
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._most:
                self._tasks.popitem(last=False)[1].close()
            return self._tasks[key].detect(image)

    def close(self, key: Hashable) -> None:
        """Close the task with that key, where it is open."""
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is not None:
                task.close()

    def close_all(self) -> None:
        """Close all tasks."""
        for key in list(self._tasks):
            self.close(key)

    def _close_at_exit(self) -> None:
        """Closing needs a thread of concurrent.futures, which is gone when `atexit` calls; this hook comes before."""
        if not self._closes_at_exit:
            threading._register_atexit(self.close_all)  # type: ignore[attr-defined]
            self._closes_at_exit = True


_open_tasks = _OpenTasks(most=4)


class _Detector(ABC):
    """What the detectors share: a MediaPipe task that they open when they search, and can close."""

    @property
    @abstractmethod
    def _key(self) -> Hashable:
        """What tells this detector's task from others."""

    @abstractmethod
    def _create(self) -> Any:
        """Open the task."""

    def close(self) -> None:
        """Close the MediaPipe task; a later search would open it again."""
        _open_tasks.close(self._key)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _result(self, picture: np.ndarray) -> Any:
        """MediaPipe's own result for a uint8 RGB picture."""
        return _open_tasks.detect(self._key, self._create, picture)


@dataclass(frozen=True)
class HandDetector(_Detector):
    """Finds hands in pictures.

    `model_path`: `hand_landmarker.task`. `threshold`: least confidence, 0..1, of the palm detector and of the
    landmark model that there is a hand. `max_hands`: the most hands in a picture, 1 or more. `min_size`: least
    shorter side of a hand's box relative to the picture's longer side, 0..1. `tiles`: above 1, search again in
    `tiles` x `tiles` overlapping tiles, which finds small hands in large pictures and takes that much longer.

    Detectors of one model, threshold and maximum share one MediaPipe task, which stays open for the next search until
    `close`, the end of a `with` block, or the end of the program. Any thread may use them.
    Raises ValueError for a number out of its range.
    """

    model_path: Path
    threshold: float = 0.5
    max_hands: int = 4
    min_size: float = 0.0
    tiles: int = 1

    def __post_init__(self) -> None:
        _check_share("threshold", self.threshold)
        _check_share("min_size", self.min_size)
        for name in ("max_hands", "tiles"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more.")

    def detect(self, picture: np.ndarray) -> list[Hand]:
        """The hands of one picture, best score first.

        `picture`: uint8 RGB `[H, W, 3]`; what else is taken, see `as_rgb`. Raises ValueError for what is no picture.
        """
        picture = as_rgb(picture)
        hands = self._search(picture) if self.tiles == 1 else search_with_tiles(picture, self.tiles, self._search)
        smallest = self.min_size * max(picture.shape[:2])
        return by_score([hand for hand in hands if min(hand.box[2:]) >= smallest][: self.max_hands])

    def detect_batch(self, pictures: torch.Tensor | Sequence[np.ndarray]) -> list[list[Hand]]:
        """The hands of each picture of an IMAGE `[B, H, W, 3]`, float 0..1, or of a sequence of arrays."""
        return [self.detect(picture) for picture in as_rgb_batch(pictures)]

    @property
    def _key(self) -> Hashable:
        return HandDetector, self.model_path, self.threshold, self.max_hands

    def _search(self, picture: np.ndarray) -> list[Hand]:
        result = self._result(picture)
        found = zip(result.handedness, result.hand_landmarks, strict=True)
        return [_hand(sides[0], landmarks, *picture.shape[:2]) for sides, landmarks in found]

    def _create(self) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.HandLandmarkerOptions(
            # Read here, because MediaPipe itself fails on some paths with letters outside of ASCII.
            base_options=BaseOptions(model_asset_buffer=Path(self.model_path).read_bytes()),
            num_hands=self.max_hands,
            min_hand_detection_confidence=self.threshold,
            min_hand_presence_confidence=self.threshold,
        )
        return vision.HandLandmarker.create_from_options(options)


@dataclass(frozen=True)
class FaceDetector(_Detector):
    """Finds faces in pictures, on MediaPipe tasks that are shared and closed like those of `HandDetector`.

    `model_path`: `face_detection_full_range_sparse.tflite`; `threshold`: least score, 0..1.
    Raises ValueError for a threshold out of its range.
    """

    model_path: Path
    threshold: float = 0.5

    def __post_init__(self) -> None:
        _check_share("threshold", self.threshold)

    def detect(self, picture: np.ndarray) -> list[Face]:
        """The faces of one picture (see `as_rgb`), best score first. Raises ValueError for what is no picture."""
        picture = as_rgb(picture)
        result = self._result(picture)
        faces = [_face(found, *picture.shape[:2]) for found in result.detections]
        return sorted(faces, key=lambda face: face.score, reverse=True)

    def detect_batch(self, pictures: torch.Tensor | Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each picture of an IMAGE `[B, H, W, 3]`, float 0..1, or of a sequence of arrays."""
        return [self.detect(picture) for picture in as_rgb_batch(pictures)]

    @property
    def _key(self) -> Hashable:
        return FaceDetector, self.model_path, self.threshold

    def _create(self) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceDetectorOptions(
            base_options=BaseOptions(model_asset_buffer=Path(self.model_path).read_bytes()),
            min_detection_confidence=self.threshold,
        )
        return vision.FaceDetector.create_from_options(options)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, expected 0 to 1.")


def _hand(side: Any, landmarks: Any, height: int, width: int) -> Hand:
    points = np.array([(point.x * width, point.y * height) for point in landmarks], dtype=np.float32)
    # The Tasks API names the person's own side in an unmirrored photo; the older API did so in a mirrored one.
    own_side: Side = "left" if side.category_name == "Left" else "right"
    return Hand(clip_box(box_of_flesh(points), width, height), min(float(side.score), 1.0), own_side, points)


def _face(found: Any, height: int, width: int) -> Face:
    frame = found.bounding_box
    box: Box = frame.origin_x, frame.origin_y, frame.width, frame.height
    return Face(clip_box(box, width, height), min(float(found.categories[0].score), 1.0))
