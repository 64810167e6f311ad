"""What installing the pack does to a ComfyUI that is already there."""

import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from devtools.paths import ROOT

REQUIREMENTS = ROOT / "requirements.txt"


def _needed(names: list[str]) -> dict[str, Requirement]:
    """What these packages need, and what that needs in turn, by name."""
    found: dict[str, Requirement] = {}
    left = list(names)
    while left:
        for line in requires(left.pop()) or []:
            requirement = Requirement(line)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in found:
                found[requirement.name] = requirement
                left.append(requirement.name)
    return found


def _listed(file: Path) -> list[Requirement]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def test_a_comfyui_that_meets_the_requirements_is_left_as_it_is() -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["install"] == []


def test_nothing_that_is_installed_holds_a_package_of_comfyui_below_a_version() -> None:
    named = _listed(REQUIREMENTS)
    comfyui = {requirement.name for requirement in _listed(ROOT / "requirements-dev.txt")} | {"torch", "torchvision"}
    needed = [*named, *_needed([requirement.name for requirement in named]).values()]
    shared = [requirement for requirement in needed if requirement.name in comfyui]
    assert "numpy" in {requirement.name for requirement in shared}
    for requirement in shared:
        assert all(bound.operator in (">=", ">", "!=") for bound in requirement.specifier), requirement


def test_no_second_opencv_is_installed_beside_mediapipes() -> None:
    assert not any(requirement.name.startswith("opencv") for requirement in _listed(REQUIREMENTS))
    assert [name for name in _needed(["mediapipe"]) if name.startswith("opencv")] == ["opencv-contrib-python"]
