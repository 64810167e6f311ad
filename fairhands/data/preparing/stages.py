"""What the preparations share: their stages, each made in pieces, and where the captions come from."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..captions import CAPTIONS_IN_PIECE, Captioned, caption_pieces, captions_of
from .models import captioner
from .pieces import Pieces
from .records import Picture, collect_problems
from .report import Report
from .tables import CaptionTable


@dataclass(frozen=True)
class Share:
    """Which of how many processes this is; `wait` returns once all of them called it."""

    process: int = 0
    processes: int = 1
    wait: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Stages:
    """Makes the pieces of stages; every process of a run makes its share of them.

    Args:
        work: the folder of the pieces.
        share: which process this is.
        report: gets what was wrong.
    """

    work: Path
    share: Share
    report: Report[Any]

    def pieces(self, stage: str, settings: dict[str, Any], size: int) -> Pieces:
        """The pieces of a stage, to be made and then finished; see `Pieces`."""
        return Pieces(self.work / stage, settings, size, self.share.process, self.share.processes)

    def finish(self, pieces: Pieces) -> None:
        """Wait until all processes made their pieces, and take their problems into the report."""
        self.share.wait()
        collect_problems(pieces, self.report.problems)

    def captions(self, pictures: Sequence[Picture], chosen: CaptionTable) -> dict[str, Captioned]:
        """The caption of each picture that one is found for, by its key."""
        pieces = self.pieces("captions", chosen.result_of(), CAPTIONS_IN_PIECE)
        load = None if chosen.model is None else captioner(chosen, chosen.model)
        caption_pieces("captions", pictures, chosen.settings(), load, pieces)
        self.finish(pieces)
        captions = captions_of(pieces)
        origins = Counter(caption.origin for caption in captions.values())
        self.report.counts["captions"] = {origin: origins[origin] for origin in chosen.order if origins[origin]}
        return captions
