"""What the trainers' programs share: how they are called in files, and how they end."""

import sys
from typing import NoReturn

TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory")  # as PyTorch says it


def stop(program: str, status: int, sentence: str) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"{program}: {sentence}", file=sys.stderr)
    sys.exit(status)


def stop_without_memory(program: str, error: RuntimeError, advice: str) -> NoReturn:
    """End the program with what takes less memory, if that is what was lacking; any other error is raised as it is."""
    if not any(words in str(error) for words in TOO_LITTLE):
        raise error
    stop(program, 1, f"too little memory: {advice}")


def command(program: str) -> str:
    """The command line that this program was started with."""
    return f"{program} {' '.join(sys.argv[1:])}".rstrip()
