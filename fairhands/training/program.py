"""What the trainers' programs share: how they end."""

import sys
from typing import NoReturn


def stop(program: str, status: int, sentence: str) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"{program}: {sentence}", file=sys.stderr)
    sys.exit(status)
