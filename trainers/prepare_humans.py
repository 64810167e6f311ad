"""Make pictures of people ready for training: `python -m trainers.prepare_humans --folder DIR [--key value ...]`.

`accelerate launch -m trainers.prepare_humans ...` shares the work between processes, on one card each.
"""

import logging

from fairhands.data.preparing.program import run
from fairhands.data.preparing_humans.checks import check
from fairhands.data.preparing_humans.preparation import Preparation
from fairhands.data.preparing_humans.settings import Settings
from fairhands.training.configuration import from_command_line

PROGRAM = "python -m trainers.prepare_humans"
PURPOSE = (
    "Make what adapters learn people from: pictures out of datasets with boxes of faces and hands, captions, and, for "
    "ControlNets, pictures of poses and depth."
)


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    run(PROGRAM, settings, lambda: check(settings), lambda share, command: Preparation(settings, share).run(command))


if __name__ == "__main__":
    main()
