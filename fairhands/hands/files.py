"""MediaPipe's model files: find them, download them, or make them from an older MediaPipe wheel.

Standard library only, because the set-up uses it before anything is installed. Nothing here runs by itself: whoever
calls `download` has the user's say.
"""

import hashlib
import http.client
import io
import logging
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..whole_files import write_whole

TIMEOUT_SECONDS = 60
_FIXED_TIME = (2023, 1, 1, 0, 0, 0)

log = logging.getLogger(__name__)


class DownloadFailed(OSError):
    """A file could not be fetched whole; the message says why, and nothing was left behind."""


@dataclass(frozen=True)
class ModelFile:
    """One file of MediaPipe's.

    `parts`: the wheel's files that make it, as (path in the wheel, name in the bundle, sha256); one part without a
    bundle name is the file itself. `sha256`: the hashes it may have, as downloaded and as made.
    """

    name: str
    purpose: str
    url: str | None
    sha256: frozenset[str]
    parts: tuple[tuple[str, str, str], ...]


HAND_LANDMARKER = ModelFile(
    name="hand_landmarker.task",
    purpose="finding hands",
    url="https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task",
    sha256=frozenset(
        {
            "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
            "6a64365723d63e2be62398e2ef9a522470b2dfc994b768a663852264bf5501fd",
        }
    ),
    parts=(
        (
            "mediapipe/modules/palm_detection/palm_detection_full.tflite",
            "hand_detector.tflite",
            "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        ),
        (
            "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
            "hand_landmarks_detector.tflite",
            "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        ),
    ),
)
FACE_DETECTOR = ModelFile(
    name="face_detection_full_range_sparse.tflite",
    purpose="finding faces",
    url=None,
    sha256=frozenset({"2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"}),
    parts=(
        (
            "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
            "",
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
    ),
)
MODELS = (HAND_LANDMARKER, FACE_DETECTOR)


def present(folder: Path, model: ModelFile) -> bool:
    """Whether the file is there, whole and unchanged."""
    path = folder / model.name
    return path.is_file() and _sha256(path.read_bytes()) in model.sha256


def find(folder: Path, model: ModelFile) -> Path:
    """The file's path in a folder.

    Raises FileNotFoundError that says how to get it, and ValueError where the file is not what its name says.
    """
    path = folder / model.name
    if not path.is_file():
        raise FileNotFoundError(f"{model.name}, needed for {model.purpose}, is not in {folder}. {_ways(model)}")
    if not present(folder, model):
        raise ValueError(f"{path} is damaged or another file (its hash is unknown): delete it. {_ways(model)}")
    return path


def download(model: ModelFile, folder: Path, url: str | None = None) -> Path:
    """Fetch the file from its makers (or from `url`), checked by hash; it is written whole or not at all.

    Raises DownloadFailed in one sentence.
    """
    source = url or model.url
    if source is None:
        raise DownloadFailed(f"{model.name} has no address to download it from. {_ways(model)}")
    log.info("downloading %s", source)
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadFailed(f"{model.name} could not be downloaded from {source}: {reason}") from error
    if _sha256(content) not in model.sha256:
        raise DownloadFailed(
            f"{source} gave {len(content)} bytes that are not {model.name} (unknown hash), so nothing was kept"
        )
    return _write(folder / model.name, content)


def make_from_wheel(wheel: Path, folder: Path) -> list[Path]:
    """Write all model files out of the wheel `mediapipe==0.10.21`, which is read and not installed.

    Nothing is written unless all parts are right. Raises ValueError where it is no wheel, lacks a part, or a part has
    another hash.
    """
    if not zipfile.is_zipfile(wheel):
        raise ValueError(f"{wheel} is no wheel: expected the wheel of mediapipe 0.10.21.")
    with zipfile.ZipFile(wheel) as archive:
        made = [(model, _content(archive, wheel, model)) for model in MODELS]
    return [_write(folder / model.name, content) for model, content in made]


def _content(archive: zipfile.ZipFile, wheel: Path, model: ModelFile) -> bytes:
    contents = [(name, _part(archive, wheel, path, sha256)) for path, name, sha256 in model.parts]
    if len(contents) == 1:
        return contents[0][1]
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as target:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            # The same bytes on every system, so that the bundle has one hash.
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            target.writestr(entry, content)
    return bundle.getvalue()


def _part(archive: zipfile.ZipFile, wheel: Path, path: str, sha256: str) -> bytes:
    try:
        content = archive.read(path)
    except KeyError as error:
        raise ValueError(f"{wheel.name} holds no {path}: expected the wheel of mediapipe 0.10.21") from error
    if _sha256(content) != sha256:
        raise ValueError(f"{path} of {wheel.name} has an unknown hash: expected the wheel of mediapipe 0.10.21")
    return content


def _ways(model: ModelFile) -> str:
    set_up = "run `python3 dev.py models` in a checkout of FairHands"
    if model.url is None:
        return f"It is not offered for download, but made from the wheel of mediapipe 0.10.21: {set_up}."
    return f"Turn on download_missing in the node, or download it from {model.url} into that folder, or {set_up}."


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    # A part file is its writer's alone, while models are for everyone who runs ComfyUI here.
    path.chmod(0o644)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
