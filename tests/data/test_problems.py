import logging
from pathlib import Path

import pytest

from fairhands.data.problems import NAMED_OF_A_KIND, Problems


def test_all_are_counted_and_kept_but_only_the_first_of_a_kind_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems()
    with caplog.at_level(logging.WARNING):
        for number in range(NAMED_OF_A_KIND + 4):
            problems.add("broken line", f"metadata.jsonl, line {number}", "not JSON")
        problems.add("unreadable picture", Path("a.jpg"), "cut off")
    assert problems.counts == {"broken line": NAMED_OF_A_KIND + 4, "unreadable picture": 1}
    assert len(problems.lines) == NAMED_OF_A_KIND + 5
    assert problems.lines[-1] == "unreadable picture: a.jpg: cut off"
    assert caplog.messages == [
        *(f"broken line: metadata.jsonl, line {number}: not JSON" for number in range(NAMED_OF_A_KIND)),
        "broken line: more of them are only counted",
        "unreadable picture: a.jpg: cut off",
    ]
