"""What the trainers' programs share: how they are called in files, and how they end."""

import sys
from typing import NoReturn


def stop(program: str, status: int, sentence: str) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"{program}: {sentence}", file=sys.stderr)
    sys.exit(status)


def command(program: str) -> str:
    """The command line that this program was started with."""
    return f"{program} {' '.join(sys.argv[1:])}".rstrip()
