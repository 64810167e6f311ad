"""The browser for `tests/browser/`: one that is on the machine, or Debian's Chromium where it may be installed."""

import os
import shutil
from pathlib import Path

from .paths import LOGS
from .steps import StepFailed, already, run_logged, step

VARIABLE = "FAIRHANDS_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
INSTALL = ("install", "-y", "--no-install-recommends", "chromium")
MISSING = (
    "No browser was found, so the tests of the page cannot run: "
    f"install Chromium or Chrome, or name its program in {VARIABLE}."
)


def prepare() -> None:
    """Install Chromium where no browser is there and this process may; say so where it may not or cannot.

    Raises StepFailed where the environment variable names no program.
    """
    if find() is not None:
        already("browser for the tests of the page")
    elif not _may_install():
        print(f"- {MISSING}", flush=True)
    else:
        try:
            with step("installing Chromium for the tests of the page (apt-get)"):
                _install()
        except StepFailed as failure:
            print(f"  {failure} {MISSING}", flush=True)


def find() -> Path | None:
    """The browser's program: the one that FAIRHANDS_BROWSER names, else the first of NAMES on PATH, else None.

    Raises StepFailed where the variable names no program.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        return None if found is None else Path(found)
    program = shutil.which(named)
    if program is None:
        raise StepFailed(f"{VARIABLE} is {named}, and there is no such program: set it to Chromium's or Chrome's.")
    return Path(program)


def _may_install() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install() -> None:
    try:
        _apt_get(*INSTALL)
    except StepFailed:
        # A new container has no lists of packages yet.
        _apt_get("update")
        _apt_get(*INSTALL)


def _apt_get(*arguments: str) -> None:
    run_logged(["apt-get", *arguments], LOGS / "browser.log", f"`apt-get {' '.join(arguments)}`")
