"""What holds for the sources as a whole."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.paths import COMFYUI, ROOT

PACKAGES = ("fairhands", "nodes", "trainers", "devtools", "benchmarks", "tests")
# What each package may not import: imports point one way, and only nodes/ knows ComfyUI.
FORBIDDEN = {
    "fairhands": {"nodes", "trainers", "devtools", "comfy", "comfy_api", "folder_paths"},
    "trainers": {"nodes", "devtools", "comfy", "comfy_api", "folder_paths"},
    "nodes": {"trainers", "devtools"},
}
# The benchmark samples in a ComfyUI of its own, which it starts as the demo does.
ALLOWED = {"trainers/benchmark.py": {"devtools"}}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The top-level names that a file imports; of a relative import that leaves its package, the sibling's name."""
    names = set()
    depth = len(file.relative_to(ROOT).parts) - 1
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level in (0, depth + 1):
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    for file in sources(package):
        wrong = imported(file) & FORBIDDEN[package] - ALLOWED.get(file.relative_to(ROOT).as_posix(), set())
        # ComfyUI's own module `nodes` is what nodes/ imports absolutely.
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_what_runs_before_the_set_up_needs_the_standard_library_only() -> None:
    code = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import devtools.commands"
    subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_short_enough_to_read_in_one_sitting(package: str) -> None:
    for file in sources(package):
        assert file.read_text(encoding="utf-8").count("\n") <= 330, file.relative_to(ROOT)


def test_the_code_is_formatted_and_lint_free() -> None:
    for command in (["check"], ["format", "--check"]):
        run = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(not COMFYUI.is_dir(), reason="the nodes' types are those of the fetched ComfyUI")
def test_the_types_are_right() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--level", "error"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout
