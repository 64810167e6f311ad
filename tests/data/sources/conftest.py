"""What the readers' tests share: a dataset's files in a few words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairhands.data.problems import Problems


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Writes a file of the dataset: bytes as they are, text, or what JSON can hold.

    Pictures are empty files: no reader may open them.
    """

    def write(name: str, content: Any = b"") -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


@pytest.fixture
def problems() -> Problems:
    return Problems()
