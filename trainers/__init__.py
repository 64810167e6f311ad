"""What a terminal sees: one short program each, `python -m trainers.NAME`."""

import sys
from types import TracebackType


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A program that is stopped while it still imports, which takes seconds, says so in a line."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped before anything was begun", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _report
