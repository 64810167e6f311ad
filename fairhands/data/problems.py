"""What was wrong with some of many files: named, counted, and no reason to stop."""

import logging
from collections import Counter
from pathlib import Path

log = logging.getLogger(__name__)

NAMED_OF_A_KIND = 5


class Problems:
    """Collects what was wrong; the first few of each kind are logged as they come, all are kept for a report."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []

    def add(self, kind: str, place: Path | str, what: str) -> None:
        """Note a problem.

        Args:
            kind: its name in counts: "unreadable picture", "broken line".
            place: the file, with the line or entry where there is one: "metadata.jsonl, line 3".
            what: what was found, in a few words.
        """
        self.counts[kind] += 1
        self.lines.append(f"{kind}: {place}: {what}")
        if self.counts[kind] <= NAMED_OF_A_KIND:
            log.warning("%s: %s: %s", kind, place, what)
        elif self.counts[kind] == NAMED_OF_A_KIND + 1:
            log.warning("%s: more of them are only counted", kind)
