"""How a program that trains an adapter runs and ends."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

from .processes import end, state
from .program import stop

TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory")  # as PyTorch says it

Parts = TypeVar("Parts")


def run(
    program: str,
    file: Path,
    advice: str,
    prepare: Callable[[], Parts],
    train: Callable[[Parts], Mapping[str, float]],
) -> None:
    """Prepare a training, train, and print the file and its figures; what goes wrong ends the program in one line.

    Args:
        program: how it is started.
        file: what it writes, in the folder of its checkpoints.
        advice: what takes less memory.
        prepare: looks for mistakes and loads what is needed; what it raises ends the program with status 2.
        train: trains to the last step, writes the file, and gives figures; what it raises ends it with status 1.
    """
    try:
        parts = prepare()
    except KeyboardInterrupt:
        stop(program, 130, "stopped before the training began; what is cached stays")
    except (ValueError, OSError, ImportError) as error:
        stop(program, 2, error)
    except RuntimeError as error:
        stop_without_memory(program, error, advice)
    try:
        figures = train(parts)
    except KeyboardInterrupt:
        stop(program, 130, f"stopped; the same command goes on from the last checkpoint in {file.parent}")
    except (ValueError, OSError) as error:
        stop(program, 1, error)
    except RuntimeError as error:
        stop_without_memory(program, error, advice)
    if state().is_main_process:
        print(f"{file}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items()))
    end()


def stop_without_memory(program: str, error: RuntimeError, advice: str) -> NoReturn:
    """End the program with what takes less memory, if that is what was lacking; any other error is raised as it is."""
    if not any(words in str(error) for words in TOO_LITTLE):
        raise error
    stop(program, 1, f"too little memory: {advice}")
