"""Make pictures of people ready for training: `python -m trainers.prepare_humans --folder DIR [--key value ...]`.

`accelerate launch -m trainers.prepare_humans ...` shares the work between processes, on one card each.
"""

import logging
import sys

from fairhands.data.preparing.stages import Share
from fairhands.data.preparing_humans.checks import check
from fairhands.data.preparing_humans.preparation import Preparation
from fairhands.data.preparing_humans.settings import Settings
from fairhands.training import processes
from fairhands.training.configuration import from_command_line
from fairhands.training.program import stop

PROGRAM = "python -m trainers.prepare_humans"
PURPOSE = (
    "Make what adapters learn people from: pictures out of datasets with boxes of faces and hands, captions, and, for "
    "ControlNets, pictures of poses and depth."
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
    processes.end()


if __name__ == "__main__":
    main()
