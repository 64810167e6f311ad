"""What the trainers' programs share: how they are called in files, and how they end."""

import sys
from typing import NoReturn


def stop(program: str, status: int, why: str | Exception) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"{program}: {sentence_of(why) if isinstance(why, Exception) else why}", file=sys.stderr)
    sys.exit(status)


def sentence_of(error: Exception) -> str:
    """What went wrong in one line for people: of the system's own errors the file and the reason, without a number."""
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.strerror[0].lower()}{error.strerror[1:]}"
        return reason if error.filename is None else f"{error.filename}: {reason}"
    return " ".join(str(error).split())


def command(program: str) -> str:
    """The command line that this program was started with."""
    return f"{program} {' '.join(sys.argv[1:])}".rstrip()
