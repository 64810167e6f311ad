"""The models that a preparation uses, found before the work and loaded when they are first needed."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from ... import base_models
from ...base_models import BaseModel, folder, kinds
from ...training.processes import device
from ..captioner import Captioner, image_to_text
from .settings import FakeTable
from .tables import CaptionTable


class Base:
    """The base model of the settings.

    Raises:
        BaseModelError: it is neither a file or folder, nor a name on the hub that was or may be fetched.
    """

    def __init__(self, table: FakeTable) -> None:
        self.table = table
        given = Path(table.base or "")
        self.path = given if given.exists() else folder.fetched(str(table.base), table.allow_download)

    def check(self) -> None:
        """Look whether it is a base model, without loading it. Raises BaseModelError where it is none."""
        if self.path.is_dir():
            folder.family_of(self.path)
        else:
            kinds.family_of(self.path, kinds.read_header(self.path))

    def load(self) -> BaseModel:
        """The model; read once."""
        return self._model

    def result_of(self) -> dict[str, Any]:
        """What tells it from others."""
        config = self.table.base_config
        return {
            "base": base_models.fingerprint(self.path),
            "base_config": None if config is None else base_models.fingerprint(config),
            "predicts": self.table.predicts,
        }

    @cached_property
    def _model(self) -> BaseModel:
        return base_models.load(self.path, device(), config=self.table.base_config, predicts=self.table.predicts)


def captioner(table: CaptionTable, model: str) -> Callable[[], Captioner]:
    """What loads the model that describes pictures."""
    return lambda: image_to_text(model, table.question, device(), allow_download=table.allow_download)


def check_captioner(table: CaptionTable, model: str) -> None:
    """Look whether the model is there, without loading it. Raises ValueError where it is not."""
    try:
        AutoConfig.from_pretrained(model, local_files_only=not table.allow_download)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"captions.model is {model}, which is neither a folder of transformers nor a name on the hub that was "
            f"fetched or may be (captions.allow_download): {reason}"
        ) from error
