"""What is wrong with a preparation's settings, said before any long work."""

from ...whole_files import prepare_folder
from ..sources import SOURCES
from .hands import detector
from .models import Base, check_captioner
from .output import holds_other_things
from .packing import KIND
from .settings import EstimateTable, FakeTable, Settings
from .tables import CaptionTable, PreparationSettings, Source


def check(settings: Settings) -> None:
    """Look for what would stop a preparation later.

    Raises:
        ValueError, OSError: something would; in one sentence.
    """
    check_sources(settings)
    if settings.hands.detects:
        detector(settings.hands)
    check_captions(settings.captions)
    _check_base(settings.fakes, settings.estimates)
    check_output(settings, KIND, "hands")


def check_sources(settings: PreparationSettings) -> None:
    """Raises ValueError where no dataset is given, or one cannot be there."""
    if not settings.datasets:
        raise ValueError(f"No dataset is given: folder names one, and kind says what it is ({', '.join(SOURCES)}).")
    for source in settings.datasets:
        _check_source(source)


def _check_source(source: Source) -> None:
    if source.kind not in SOURCES:
        raise ValueError(f'kind is "{source.kind}", expected one of {", ".join(SOURCES)}.')
    if not source.folder.is_dir():
        raise ValueError(f"The folder of the dataset {source.kind} is {source.folder}, which is no folder.")


def check_captions(table: CaptionTable) -> None:
    """Raises ValueError for a template that cannot be filled in, and for a model that is not there or never asked."""
    table.settings()
    if table.model is None:
        return
    if "model" not in table.order:
        raise ValueError(f"captions.model is {table.model}, but captions.order does not name model: add it there.")
    check_captioner(table, table.model)


def _check_base(fakes: FakeTable, estimates: EstimateTable) -> None:
    estimates.settings()
    if fakes.base is not None:
        Base(fakes).check()
    elif estimates.each:
        raise ValueError("estimates.each asks for estimates, which need a base model: fakes.base names one.")


def check_output(settings: PreparationSettings, kind: str, what: str) -> None:
    """Raises ValueError where the output is something else that would be lost, OSError where it cannot be written.

    Args:
        settings: of the preparation.
        kind: what its manifest calls its output.
        what: what it prepares, for messages.
    """
    output, work = settings.output, settings.work_folder
    if holds_other_things(output, kind):
        raise ValueError(
            f"output is {output}, which holds something else than prepared {what}: it would be replaced, so name "
            "another folder, or delete it yourself."
        )
    if work.resolve().is_relative_to(output.resolve()):
        raise ValueError(f"work is {work}, inside of the output {output}, which is replaced as a whole: name another.")
    prepare_folder(output.with_name(f".{output.name}.part"))
    prepare_folder(work / "piece")
