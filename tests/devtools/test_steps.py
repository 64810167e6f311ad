import sys
from pathlib import Path

import pytest

from devtools.steps import StepFailed, run_logged, step


def test_a_step_says_what_it_does_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with step("knitting"):
        pass
    assert capsys.readouterr().out.startswith("- knitting ...\n  done in 0.0 s")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "NewConnectionError(...): Temporary failure in name resolution",
            "the network, or the package index, cannot be reached",
        ),
        ("ERROR: Could not find a version that satisfies torch (from versions: none)", "cannot be reached"),
        ("one\nERROR: No matching distribution\ntwo", "No matching distribution"),
    ],
)
def test_a_failing_command_ends_in_its_reason_and_names_its_log(tmp_path: Path, printed: str, said: str) -> None:
    log = tmp_path / "logs" / "command.log"
    command = [sys.executable, "-c", f"import sys; print({printed!r}); sys.exit(3)"]
    with pytest.raises(StepFailed, match=said) as caught:
        run_logged(command, log, "Knitting")
    assert str(log) in str(caught.value)
    assert "\n" not in str(caught.value)
