"""What ComfyUI's registry reads of the pack, by its own rules."""

import re
from pathlib import Path

import pytest
import tomlkit
import yaml
from PIL import Image

from devtools import pack
from devtools.paths import ROOT

CONFIGURATION = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
PROJECT, COMFY = CONFIGURATION["project"], CONFIGURATION["tool"]["comfy"]


def test_the_name_is_one_that_the_registry_takes() -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", PROJECT["name"])
    assert len(PROJECT["name"]) < 100
    assert "comfyui" not in PROJECT["name"].lower()


def test_the_version_has_three_numbers() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])


def test_the_dependencies_are_those_of_the_requirements() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert PROJECT["dependencies"] == [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(("key", "shape"), [("Icon", (400, 400)), ("Banner", (1260, 540))])
def test_icon_and_banner_lie_where_their_addresses_lead_and_have_the_registrys_shapes(
    key: str, shape: tuple[int, int]
) -> None:
    start = PROJECT["urls"]["Repository"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    assert COMFY[key].startswith(start)
    with Image.open(ROOT / COMFY[key].removeprefix(start)) as picture:
        assert picture.size == shape


def test_all_addresses_are_of_one_repository() -> None:
    assert all(address.startswith(PROJECT["urls"]["Repository"]) for address in PROJECT["urls"].values())


def test_what_is_published_is_what_runs_without_what_makes_it(tmp_path: Path) -> None:
    installed = pack.install(tmp_path)
    names = {entry.name for entry in installed.iterdir()}
    assert {"__init__.py", "nodes", "fairhands", "trainers", "weights", "workflows", "web", "locales"} <= names
    assert names.isdisjoint({"tests", "devtools", "benchmarks", "dev.py", ".git", ".github", ".fairhands"})


def test_nothing_published_runs_code_from_strings_or_other_programs(tmp_path: Path) -> None:
    for file in pack.install(tmp_path).rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])(eval|exec)\(", source), file
        assert not re.search(r"\bos\.system\b|\b(import|from) (subprocess|pip)\b", source), file


@pytest.mark.parametrize("name", ["tests", "publish"])
def test_the_workflows_are_read_and_name_what_is_there(name: str) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    for job in workflow["jobs"].values():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
        for step in job.get("steps", []):
            program = step.get("run", "").split(" ")[0]
            assert program in ("", "python3") or (ROOT / program).is_file()
