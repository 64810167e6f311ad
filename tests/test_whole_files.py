"""A file is written whole or not at all, also when the writing fails for real."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairhands.whole_files import prepare_folder, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    (other := tmp_path / "other").touch()
    assert path.stat().st_mode == other.stat().st_mode  # readable by whom other new files are
    other.unlink()
    assert list(tmp_path.iterdir()) == [path]


def limit_file_size():
    """What a full disk is to a program: the write fails in the middle."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of files")
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    write_whole(path, b"old")
    program = (
        "import sys, pathlib; from fairhands.whole_files import write_whole; "
        "write_whole(pathlib.Path(sys.argv[1]), bytes(5000))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=Path(__file__).parents[1],
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError" in ended.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_and_tried_before_it_is_needed(tmp_path: Path):
    prepare_folder(tmp_path / "new" / "folder" / "weights.safetensors")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="Is a file, expected a folder"):
        prepare_folder(tmp_path / "file" / "weights.safetensors")
    with pytest.raises(IsADirectoryError):
        prepare_folder(tmp_path)
