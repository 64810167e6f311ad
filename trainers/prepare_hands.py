"""Make pairs of real and generated hands: `python -m trainers.prepare_hands --folder DIR [--key value ...]`.

`accelerate launch -m trainers.prepare_hands ...` shares the work between processes, on one card each.
"""

import logging

from fairhands.data.preparing.checks import check
from fairhands.data.preparing.preparation import Preparation
from fairhands.data.preparing.program import run
from fairhands.data.preparing.settings import Settings
from fairhands.training.configuration import from_command_line

PROGRAM = "python -m trainers.prepare_hands"
PURPOSE = (
    "Make what a hand discriminator learns from: crops of real hands out of datasets, and of the hands that your base "
    "model makes from the same captions."
)
ONLY_REAL = "These are real hands only: fakes.base names the base model that fakes are made with."


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    run(
        PROGRAM,
        settings,
        lambda: check(settings),
        lambda share, command: Preparation(settings, share).run(command),
        ONLY_REAL if settings.fakes.base is None else "",
    )


if __name__ == "__main__":
    main()
