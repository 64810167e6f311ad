"""Long work in pieces: each is written whole or not at all, finished ones are not made again."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

RECORD = "piece.json"


class Pieces:
    """The pieces of one stage of a work: numbered folders, each with what was made of a few items.

    Several processes can share a stage: each makes the pieces whose number falls to it.

    Args:
        folder: where the pieces' folders are; made if it is missing.
        settings: plain values that the results depend on; a piece made with others is made again.
        size: items in a piece.
        process, processes: which of how many processes this is, from 0 on.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], size: int, process: int = 0, processes: int = 1) -> None:
        self.folder = folder
        self.settings = settings
        self.size = size
        self.process = process
        self.processes = processes

    def make(
        self,
        title: str,
        items: Sequence[Item],
        describe: Callable[[Item], Any],
        make: Callable[[Sequence[Item], Path], None],
    ) -> None:
        """Make this process's pieces of the items, but for those that are there already.

        Args:
            title: what is done, for the progress bar.
            items: all items of the stage, the same ones in each process.
            describe: plain values that tell an item from others; a piece with other items is made again.
            make: gets a piece's items, and an empty folder to write into. What it raises goes through, and
                nothing of the piece is left.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        groups = [items[start : start + self.size] for start in range(0, len(items), self.size)]
        progress = tqdm(total=len(items), desc=title, unit="item", disable=self.process > 0)
        with progress:
            for number, group in enumerate(groups):
                if number % self.processes == self.process:
                    made_of = self._digest([describe(item) for item in group])
                    if not self._is_made(number, made_of):
                        self._make(number, made_of, group, make)
                progress.update(len(group))
        if self.process == 0:
            self._forget_from(len(groups))

    def folders(self) -> Iterator[Path]:
        """The finished pieces' folders in their order."""
        return iter(sorted(path.parent for path in self.folder.glob(f"[0-9]*/{RECORD}")))

    def _make(
        self, number: int, made_of: str, group: Sequence[Item], make: Callable[[Sequence[Item], Path], None]
    ) -> None:
        part = self.folder / f".{number:06}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            make(group, part)
            (part / RECORD).write_text(json.dumps({"made_of": made_of}), encoding="utf-8")
            shutil.rmtree(self._path(number), ignore_errors=True)
            part.rename(self._path(number))
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _is_made(self, number: int, made_of: str) -> bool:
        """Whether the piece is there; a record that a crash of the machine left empty is none."""
        try:
            return json.loads((self._path(number) / RECORD).read_text(encoding="utf-8"))["made_of"] == made_of
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _forget_from(self, number: int) -> None:
        """Remove pieces beyond the last, left by a run with more items."""
        for path in self.folders():
            if int(path.name) >= number:
                shutil.rmtree(path)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}"

    def _digest(self, items: list[Any]) -> str:
        return hashlib.sha256(json.dumps([self.settings, items], sort_keys=True).encode()).hexdigest()
