"""The Python environment in the checkout: ComfyUI's packages, the trainers' and the test tools."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .paths import LOGS, ROOT, VENV, venv_python
from .steps import StepFailed, already, run_logged, step

TORCH = "torch==2.13.0"
# These would pull another torch, so they are installed without their dependencies.
WITHOUT_DEPENDENCIES = (
    "torchvision==0.28.0",
    "spandrel==0.4.2",
    'kornia==0.9.0; python_version >= "3.11"',
    'kornia==0.8.2; python_version < "3.11"',
    "kornia-rs==0.2.0",
)
REQUIREMENT_FILES = ("requirements.txt", "requirements-train.txt", "requirements-dev.txt")
GIGABYTE = 1 << 30
TORCHVISION_OPERATORS = ROOT / "devtools" / "torchvision_operators.py"
MENDED_BY = "fairhands_torchvision_operators"


@dataclass(frozen=True)
class Environment:
    """What was found out about the prepared environment, kept in a file beside its packages."""

    fingerprint: str
    cuda: bool


def prepare(comfyui: Path | None) -> Environment:
    """Make or update the environment; a finished one is left alone.

    `comfyui`: a ComfyUI checkout of the user's own, whose requirements are installed too.
    Raises StepFailed, and leaves an environment that the next call mends.
    """
    _check_venv_module()
    fingerprint = _fingerprint(comfyui)
    ready = current()
    if ready and ready.fingerprint == fingerprint:
        already("Python environment")
        return ready
    cuda = _has_nvidia_gpu()
    _check_disk(10 if cuda else 4)
    _record().unlink(missing_ok=True)
    if not _usable():
        with step(f"making a Python {sys.version_info.major}.{sys.version_info.minor} environment in {VENV}"):
            shutil.rmtree(VENV, ignore_errors=True)
            run_logged([sys.executable, "-m", "venv", VENV], LOGS / "venv.log", "making the environment")
    _install(comfyui)
    with step("trying torch and torchvision together"):
        environment = Environment(fingerprint, _torch_sees_cuda())
        if not _imports("torchvision"):
            _mend_torchvision()
    _record().write_text(json.dumps(asdict(environment)), encoding="utf-8")
    return environment


def current() -> Environment | None:
    """The finished environment, or None where there is none."""
    if not _record().is_file() or not _usable():
        return None
    record = json.loads(_record().read_text(encoding="utf-8"))
    return Environment(record["fingerprint"], record["cuda"])


def _record() -> Path:
    return VENV / "fairhands.json"


def _check_venv_module() -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise StepFailed(
            "This Python cannot make environments because its venv module is incomplete: "
            "install it (Debian and Ubuntu: `apt install python3-venv`) or use another Python."
        )


def _check_disk(gigabytes: int) -> None:
    free = shutil.disk_usage(ROOT).free
    if free < gigabytes * GIGABYTE:
        raise StepFailed(
            f"The environment needs {gigabytes} GB of disk and {free / GIGABYTE:.1f} GB are free at {ROOT}: "
            "free some space and run the command again."
        )


def _fingerprint(comfyui: Path | None) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:2]} {TORCH} {WITHOUT_DEPENDENCIES}".encode())
    files = [ROOT / name for name in REQUIREMENT_FILES]
    if comfyui is not None:
        files.append(comfyui / "requirements.txt")
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _has_nvidia_gpu() -> bool:
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program], capture_output=True, check=False).returncode == 0


def _usable() -> bool:
    """Whether the environment's interpreter runs and is of the version that runs now."""
    if not venv_python().is_file():
        return False
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = f"import pip, sys; sys.exit('{version}' != '%d.%d' % sys.version_info[:2])"
    return subprocess.run([str(venv_python()), "-c", code], capture_output=True, check=False).returncode == 0


def _install(comfyui: Path | None) -> None:
    with step(f"installing {TORCH}"):
        _pip(TORCH)
    with step("installing torchvision and what else would pull another torch"):
        _pip("--no-deps", *WITHOUT_DEPENDENCIES)
    with step("installing ComfyUI's packages, the trainers' and the test tools"):
        _pip(*(argument for name in REQUIREMENT_FILES for argument in ("-r", str(ROOT / name))))
    if comfyui is not None:
        with step(f"installing the requirements of {comfyui}"):
            _pip(*_requirements_without_torch(comfyui / "requirements.txt"))


def _requirements_without_torch(file: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("torch")] or ["pip"]


def _pip(*arguments: str) -> None:
    pip = [venv_python(), "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    run_logged(pip, LOGS / "install.log", "installing Python packages")


def _torch_sees_cuda() -> bool:
    output = subprocess.run(
        [str(venv_python()), "-c", "import torch; print(torch.cuda.is_available())"],
        capture_output=True,
        text=True,
        check=False,
    )
    if output.returncode != 0:
        raise StepFailed(f"The installed torch cannot be imported: {output.stderr.strip().splitlines()[-1]}.")
    return output.stdout.strip().endswith("True")


def _mend_torchvision() -> None:
    """Let the CUDA build of torchvision that the index has be imported beside a torch for processors."""
    folder = Path(_output("import sysconfig; print(sysconfig.get_path('purelib'))"))
    shutil.copyfile(TORCHVISION_OPERATORS, folder / f"{MENDED_BY}.py")
    (folder / f"{MENDED_BY}.pth").write_text(f"import {MENDED_BY}\n", encoding="utf-8")


def _output(code: str) -> str:
    """What the prepared interpreter prints."""
    return subprocess.run([str(venv_python()), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _imports(module: str) -> bool:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [str(venv_python()), "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, env=environment, check=False).returncode == 0
