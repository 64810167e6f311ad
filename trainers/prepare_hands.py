"""Make pairs of real and generated hands: `python -m trainers.prepare_hands --folder DIR [--key value ...]`.

`accelerate launch -m trainers.prepare_hands ...` shares the work between processes, on one card each.
"""

import logging
import sys

from fairhands.data.preparing.checks import check
from fairhands.data.preparing.preparation import Preparation, Share
from fairhands.data.preparing.settings import Settings
from fairhands.training import processes
from fairhands.training.configuration import from_command_line
from fairhands.training.program import stop

PROGRAM = "python -m trainers.prepare_hands"
PURPOSE = (
    "Make what a hand discriminator learns from: crops of real hands out of datasets, and of the hands that your base "
    "model makes from the same captions."
)


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        check(settings)
    except (ValueError, OSError) as error:
        stop(PROGRAM, 2, str(error))
    goes_on = f"the same command goes on from the finished pieces in {settings.work_folder}"
    try:
        state = processes.state()
        share = Share(state.process_index, state.num_processes, state.wait_for_everyone)
        counts = Preparation(settings, share).run(" ".join([PROGRAM, *sys.argv[1:]]))
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; {goes_on}")
    except ValueError as error:
        stop(PROGRAM, 2, str(error))
    except OSError as error:
        stop(PROGRAM, 1, f"{settings.output} was not written: {error}; {goes_on}")
    if state.is_main_process:
        print(f"{settings.output}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
        if settings.fakes.base is None:
            print("These are real hands only: fakes.base names the base model that fakes are made with.")
    processes.end()


if __name__ == "__main__":
    main()
