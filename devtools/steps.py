"""Steps of the set-up: each says what it does and how long it took; a failing one ends in one sentence."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# How pip and git say that nothing answered; pip says "no version" where it could not even ask.
NETWORK_SIGNS = ("connection broken by", "Temporary failure in name resolution", "Connection refused", "versions: none")


class StepFailed(Exception):
    """A step could not be done; the message is one sentence that says what to do."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title, run the body, print the time that it took."""
    print(f"- {title} ...", flush=True)
    start = time.monotonic()
    yield
    print(f"  done in {time.monotonic() - start:.1f} s", flush=True)


def already(title: str) -> None:
    """Say that a step's result is there from an earlier run."""
    print(f"- {title}: already there", flush=True)


def run_logged(command: Sequence[str | Path], log: Path, what: str, *, cwd: Path | None = None) -> None:
    """Run a command with its output in a log file.

    Raises StepFailed with the last line that names an error, and with the log's path.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8", errors="replace") as output:
        code = subprocess.run(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, cwd=cwd, check=False
        ).returncode
    if code != 0:
        raise StepFailed(f"{what} failed: {_reason(log)} (whole log: {log}).")


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    text = "\n".join(lines)
    if "No space left on device" in text:
        return "the disk is full; free some space and run the command again"
    if any(sign in text for sign in NETWORK_SIGNS):
        return (
            "the network, or the package index, cannot be reached; check it (or your proxy) and run the command again"
        )
    named = [line for line in lines if "error" in line.lower()]
    return (named or lines or ["it printed nothing"])[-1].rstrip(".")
