import sys
from pathlib import Path

import pytest

from devtools import browser
from devtools.steps import StepFailed


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a browser; the folder on whose PATH one can be put."""
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(browser, "LOGS", tmp_path / "logs")
    return tmp_path


def put(folder: Path, name: str, script: str = "true") -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_the_named_browser_comes_first(no_browser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(no_browser, "chromium")
    monkeypatch.setenv(browser.VARIABLE, sys.executable)
    assert browser.find() == Path(sys.executable)


def test_a_browser_on_the_path_is_found_and_nothing_is_installed(
    no_browser: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chrome = put(no_browser, "google-chrome")
    put(no_browser, "apt-get", "exit 1")
    browser.prepare()
    assert browser.find() == chrome
    assert "already there" in capsys.readouterr().out


def test_a_named_browser_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.VARIABLE, "/no/such/browser")
    with pytest.raises(StepFailed, match=r"FAIRHANDS_BROWSER is /no/such/browser"):
        browser.prepare()


def test_without_a_browser_and_without_root_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: 1000, raising=False)
    browser.prepare()
    assert browser.VARIABLE in capsys.readouterr().out


def test_root_installs_chromium_after_fetching_the_lists_of_packages(
    no_browser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0, raising=False)
    calls, lists, program = (no_browser / name for name in ("calls", "lists", "chromium"))
    # Like apt-get in a new container: it knows no package until it was told to update.
    steps = (
        f'echo "$1" >> {calls}',
        f'if [ "$1" = update ]; then : > {lists}; exit 0; fi',
        f"[ -e {lists} ] || exit 100",
        f": > {program}; /bin/chmod 755 {program}",
    )
    put(no_browser, "apt-get", "\n".join(steps))
    browser.prepare()
    assert calls.read_text().split() == ["install", "update", "install"]
    assert browser.find() == program


def test_a_failed_installation_leaves_a_reason_and_no_exception(
    no_browser: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0, raising=False)
    put(no_browser, "apt-get", "echo 'Error: no network'; exit 1")
    browser.prepare()
    assert "no network" in capsys.readouterr().out
    assert browser.find() is None
