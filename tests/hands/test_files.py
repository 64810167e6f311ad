import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairhands.hands import files
from fairhands.hands.files import FACE_DETECTOR, HAND_LANDMARKER, DownloadFailed, ModelFile

CONTENT = bytes(range(256)) * 4096
MODEL = ModelFile("model.task", "finding things", None, frozenset({hashlib.sha256(CONTENT).hexdigest()}), ())


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the model whole, cut off, or replaced by something else."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        bodies = {"/whole": CONTENT, "/truncated": CONTENT[:1000], "/wrong": CONTENT[::-1]}
        self.wfile.write(bodies[self.path])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_is_written_whole(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "mediapipe"
    path = files.download(MODEL, folder, f"{address}/whole")
    assert path == folder / "model.task"
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]
    assert path.stat().st_mode & 0o444 == 0o444
    assert files.find(folder, MODEL) == path


@pytest.mark.parametrize(
    ("page", "reason"), [("truncated", "could not be downloaded"), ("wrong", "hash"), ("missing", "Not Found")]
)
def test_a_download_that_is_not_whole_and_right_leaves_nothing(
    address: str, tmp_path: Path, page: str, reason: str
) -> None:
    with pytest.raises(DownloadFailed, match=reason):
        files.download(MODEL, tmp_path, f"{address}/{page}")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_the_file_that_was_there(address: str, tmp_path: Path) -> None:
    (tmp_path / "model.task").write_bytes(CONTENT)
    with pytest.raises(DownloadFailed):
        files.download(MODEL, tmp_path, f"{address}/wrong")
    assert files.present(tmp_path, MODEL)


def test_without_a_network_the_download_says_from_where_it_could_not_be_had(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"model\.task could not be downloaded from http://127\.0\.0\.1:9/"):
        files.download(MODEL, tmp_path, "http://127.0.0.1:9/whole")


def test_a_file_that_is_not_offered_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="no address"):
        files.download(FACE_DETECTOR, tmp_path)


def test_a_missing_file_is_named_with_its_place_and_the_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        files.find(tmp_path, HAND_LANDMARKER)
    for part in ("hand_landmarker.task", str(tmp_path), str(HAND_LANDMARKER.url), "download_missing", "dev.py models"):
        assert part in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.task").write_bytes(CONTENT[:-1])
    assert not files.present(tmp_path, MODEL)
    with pytest.raises(ValueError, match="damaged"):
        files.find(tmp_path, MODEL)


@pytest.fixture
def wheel(tmp_path: Path, mediapipe_models: Path) -> Path:
    """A wheel with the parts of the real one that count."""
    bundle = zipfile.ZipFile(mediapipe_models / HAND_LANDMARKER.name)
    with bundle, zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, name, _ in HAND_LANDMARKER.parts:
            wheel.writestr(path, bundle.read(name))
        wheel.writestr(FACE_DETECTOR.parts[0][0], (mediapipe_models / FACE_DETECTOR.name).read_bytes())
    return tmp_path / "a.whl"


@pytest.fixture
def made_of_the_wheels_parts(mediapipe_models: Path) -> None:
    """A bundle downloaded from its makers may hold the parts with metadata, which no wheel has."""
    with zipfile.ZipFile(mediapipe_models / HAND_LANDMARKER.name) as bundle:
        if any(hashlib.sha256(bundle.read(name)).hexdigest() != sha256 for _, name, sha256 in HAND_LANDMARKER.parts):
            pytest.skip("the hand landmarker here is not made of the wheel's parts")


@pytest.mark.usefixtures("made_of_the_wheels_parts")
def test_the_models_made_from_a_wheel_have_the_recorded_hashes(wheel: Path, tmp_path: Path) -> None:
    made = files.make_from_wheel(wheel, tmp_path / "made")
    assert [path.name for path in made] == [HAND_LANDMARKER.name, FACE_DETECTOR.name]
    assert all(files.present(tmp_path / "made", model) for model in files.MODELS)


@pytest.mark.usefixtures("made_of_the_wheels_parts")
def test_a_wheel_with_another_part_is_refused_and_nothing_written(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, name, _ = FACE_DETECTOR.parts[0]
    monkeypatch.setattr(files, "MODELS", (HAND_LANDMARKER, replace(FACE_DETECTOR, parts=((path, name, "0" * 64),))))
    with pytest.raises(ValueError, match="unknown hash"):
        files.make_from_wheel(wheel, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_wheel_without_the_parts_is_refused(tmp_path: Path) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "other.whl").write_bytes(empty.getvalue())
    with pytest.raises(ValueError, match=r"palm_detection_full\.tflite"):
        files.make_from_wheel(tmp_path / "other.whl", tmp_path)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.whl").write_text("<html>")
    with pytest.raises(ValueError, match="no wheel"):
        files.make_from_wheel(tmp_path / "page.whl", tmp_path)
