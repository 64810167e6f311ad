"""The result of a preparation as a folder, written whole, and not again where it would be the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from .packing import FORMAT, MANIFEST, METADATA, pack
from .records import Crop
from .report import FOLDER, Report, write_report
from .settings import Settings
from .whole_folder import replaced_whole, restore


def write_output(
    crops: Sequence[Crop], texts: Mapping[str, str], report: Report[Crop], settings: Settings, command: str
) -> None:
    """Write crops, their metadata and the report, unless the output holds just that.

    Args:
        crops: what to pack, in its order.
        texts: captions by pair.
        report: what the stages told.
        settings: of the preparation.
        command: what it was started with, for the manifest.

    Raises:
        OSError: the output could not be written, and is as it was.
    """
    made_of = _digest(crops, texts, report, settings)
    restore(settings.output)
    if is_current(settings.output, made_of):
        return
    told = {"command": command, "settings": settings.model_dump(mode="json"), "made_of": made_of}
    with replaced_whole(settings.output) as folder:
        write_report(report, settings.work_folder, folder / FOLDER)
        pack(crops, texts, settings.work_folder, folder, settings.pack, told)


def is_current(folder: Path, made_of: str) -> bool:
    """Whether a folder is the whole output of the same crops, captions and settings."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["made_of"] == made_of and all((folder / name).is_file() for name in manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def holds_other_things(folder: Path, kind: str) -> bool:
    """Whether a folder is there that no preparation of that kind wrote, so that it should not be replaced."""
    if not folder.is_dir():
        return folder.exists()
    return any(folder.iterdir()) and not ((folder / METADATA).is_file() and _kind_of(folder) == kind)


def _kind_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(crops: Sequence[Crop], texts: Mapping[str, str], report: Report[Crop], settings: Settings) -> str:
    """A hash of all that the output depends on; where it and the work lie does not matter."""
    chosen = settings.model_dump(mode="json", exclude={"output", "work"})
    digest = hashlib.sha256(json.dumps([FORMAT, chosen, report.plain()]).encode())
    for crop in crops:
        digest.update(json.dumps([asdict(crop), texts.get(crop.pair, "")], sort_keys=True).encode())
    return digest.hexdigest()
