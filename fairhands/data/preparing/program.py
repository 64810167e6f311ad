"""How a program that prepares a dataset runs and ends."""

import sys
from collections.abc import Callable, Mapping

from ...training import processes
from ...training.program import sentence_of, stop
from .stages import Share
from .tables import PreparationSettings

Prepare = Callable[[Share, str], Mapping[str, int]]
"""Does this process's share, for the manifest started with that command; gives counts of what was packed."""


def run(
    program: str, settings: PreparationSettings, check: Callable[[], None], prepare: Prepare, hint: str = ""
) -> None:
    """Prepare, and print the folder and its counts; what goes wrong ends the program in one line.

    Args:
        program: how it is started.
        settings: what is chosen.
        check: looks for mistakes; what it raises ends the program with status 2.
        prepare: does the work. A ValueError ends the program with status 2, an OSError with 1.
        hint: what to say at the end.
    """
    try:
        check()
    except (ValueError, OSError) as error:
        stop(program, 2, error)
    goes_on = f"the same command goes on from the finished pieces in {settings.work_folder}"
    try:
        state = processes.state()
        share = Share(state.process_index, state.num_processes, state.wait_for_everyone)
        counts = prepare(share, " ".join([program, *sys.argv[1:]]))
    except KeyboardInterrupt:
        stop(program, 130, f"stopped; {goes_on}")
    except ValueError as error:
        stop(program, 2, error)
    except OSError as error:
        stop(program, 1, f"{settings.output} was not written: {sentence_of(error)}; {goes_on}")
    if state.is_main_process:
        print(f"{settings.output}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
        if hint:
            print(hint)
    processes.end()
