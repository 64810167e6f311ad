import tomlkit

from devtools.paths import ROOT
from devtools.release import faults

PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]
REPOSITORY = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")


def test_the_version_that_stands_in_the_project_and_the_changelog_can_be_published() -> None:
    assert faults(f"v{PROJECT['version']}", REPOSITORY) == []


def test_a_tag_of_another_version_is_refused() -> None:
    (fault,) = faults("v99.0.0", REPOSITORY)
    assert "The tag is v99.0.0" in fault
    assert PROJECT["version"] in fault


def test_another_repository_than_the_one_that_is_named_is_refused() -> None:
    (fault,) = faults(f"v{PROJECT['version']}", "someone/fork")
    assert "this is someone/fork" in fault


def test_a_version_without_its_part_of_the_changelog_is_refused(tmp_path, monkeypatch) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.0.1\n", encoding="utf-8")
    monkeypatch.setattr("devtools.release.ROOT", tmp_path)
    (fault,) = faults(f"v{PROJECT['version']}", REPOSITORY)
    assert "no part headed" in fault
