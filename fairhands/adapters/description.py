"""What an adapter's file says of itself: a LoRA, a ControlNet or a T2I-Adapter, of FairHands or of others.

Only the header is read, and nothing is imported that an artist's ComfyUI lacks.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..one_line import is_number, one_line
from ..weight_header import OTHER_KINDS, Header, HeaderError, read_header

LORA, CONTROL_NET, T2I_ADAPTER = "a LoRA", "a ControlNet", "a T2I-Adapter"
KINDS = {"fairhands lora": LORA, "fairhands controlnet": CONTROL_NET, "fairhands t2i adapter": T2I_ADAPTER}
"""The `kind` that FairHands' trainers write, and what it is for people."""

VERSIONS = {"SD 1.5": "sd_v1", "SDXL": "sdxl_base_v1-0", "mannequin": "fairhands_mannequin"}
"""The base model's family, and what ss_base_model_version calls it in LoRA files."""
ARCHITECTURES = {
    "SD 1.5": "stable-diffusion-v1",
    "SDXL": "stable-diffusion-xl-v1-base",
    "mannequin": "fairhands-mannequin",
}
"""What modelspec.architecture calls it, before the adapter's kind."""

UNKNOWN = "unknown"
_DOWN = (".lora_down.weight", ".lora_A.weight", "_lora.down.weight")
_TEXT_ENCODER = ("lora_te", "text_encoder")


class AdapterFileError(ValueError):
    """A file that is no such adapter; its text says what it is, what is wanted, and where one comes from."""


def read_description(path: Path, wanted: tuple[str, ...], source: str) -> "Description":
    """Look at an adapter's file.

    Args:
        path: the file.
        wanted: which of LORA, CONTROL_NET and T2I_ADAPTER it may be.
        source: where a right one comes from, to be put after "expected a LoRA: ".

    Raises:
        AdapterFileError: it is no whole safetensors file, or clearly something else. A file whose kind cannot be told
            is let through.
    """
    try:
        description = Description(read_header(path))
    except HeaderError as error:
        raise refusal(path, str(error), wanted, source) from error
    if description.is_clearly_other_than(wanted):
        raise refusal(path, description.kind, wanted, source)
    return description


def refusal(path: Path, found: str, wanted: tuple[str, ...], source: str) -> AdapterFileError:
    """The error for a file: what it turned out to be, what was wanted instead, and where that comes from."""
    return AdapterFileError(f"{path.name} is {found}, expected {' or '.join(wanted)} (.safetensors): {source}.")


@dataclass(frozen=True)
class Description:
    """A file's header, read for people. Texts may say anything: what is missing or of another form is "unknown"."""

    header: Header

    @property
    def is_ours(self) -> bool:
        """Whether a trainer of FairHands wrote it."""
        return self._text("kind") in KINDS

    @property
    def kind(self) -> str:
        """What it is, in words; told by its tensors where FairHands did not write it."""
        return KINDS.get(self._text("kind")) or self.header.guess()

    def is_clearly_other_than(self, wanted: tuple[str, ...]) -> bool:
        """Whether it is of a known kind that is not wanted."""
        known = {*KINDS.values(), *OTHER_KINDS.values()}
        return self.kind not in wanted and (self.kind in known or "fairhands.kind" in self.header.metadata)

    @cached_property
    def made_by(self) -> Mapping[str, Any]:
        """What made it, as its trainer wrote it."""
        return self._json("made_by")

    @property
    def family(self) -> str | None:
        """The base model's family, one of VERSIONS; None where the file does not say or names another."""
        named = self.made_by.get("base_family")
        if isinstance(named, str) and named in VERSIONS:
            return named
        version, architecture = self._text("ss_base_model_version"), self._text("modelspec.architecture")
        for family in VERSIONS:
            if version == VERSIONS[family] or architecture.startswith(ARCHITECTURES[family]):
                return family
        return None

    @property
    def ranks(self) -> list[int]:
        """The ranks of a LoRA's layers, each once, in order."""
        return sorted({shape[0] for name, shape in self.header.shapes.items() if name.endswith(_DOWN) and shape})

    @property
    def has_text_encoders(self) -> bool:
        """Whether a LoRA changes text encoders too."""
        return any(name.startswith(_TEXT_ENCODER) for name in self.header.shapes)

    @property
    def conditioning(self) -> str:
        """What a ControlNet or T2I-Adapter is shown: "pose", "depth"."""
        return one_line(self._text("conditioning") or self.made_by.get("conditioning")) or UNKNOWN

    def lines(self) -> list[str]:
        """What it is, line by line."""
        lines = {"base": self._base()}
        if self.kind == LORA:
            lines["rank"] = self._rank()
        elif self.is_ours:
            lines["conditioning"] = self.conditioning
        if self.is_ours:
            lines |= {"objectives": self._objectives(), "trained": self._training()}
        else:
            lines["trained"] = "by another trainer than FairHands'"
        return [f"{name}: {line or UNKNOWN}" for name, line in lines.items()]

    def _base(self) -> str:
        family = self.family or self._text("ss_base_model_version") or self._text("modelspec.architecture") or UNKNOWN
        name = one_line(self.made_by.get("base") or self._text("ss_sd_model_name"))
        return one_line(f"{family} ({name})" if name else family)

    def _rank(self) -> str:
        settings = self._json("settings")
        parts = [" and ".join(map(str, self.ranks))]
        alpha = settings.get("alpha")
        told = f"{alpha:g}" if is_number(alpha) else one_line(self._text("ss_network_alpha"))
        parts += [f"alpha {told}"] if told else []
        parts += [f"{one_line(settings['layers'])} layers"] if "layers" in settings else []
        parts += ["text encoders too"] if self.has_text_encoders else []
        return ", ".join(part for part in parts if part)

    def _objectives(self) -> str:
        names, strategy = one_line(self.made_by.get("objectives")), one_line(self.made_by.get("strategy"))
        return f"{names}, weighed by {strategy}" if names and strategy else names

    def _training(self) -> str:
        steps, seed = self.made_by.get("steps"), self.made_by.get("seed")
        parts = [f"{steps} steps"] if is_number(steps) else []
        parts += [f"seed {seed}"] if is_number(seed) else []
        program = re.search(r"trainers\.\w+", one_line(self.made_by.get("command")))
        parts += [f"by {program[0]}"] if program else []
        return ", ".join(parts)

    def _text(self, key: str) -> str:
        value: Any = self.header.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def _json(self, key: str) -> Mapping[str, Any]:
        try:
            found = json.loads(self._text(key))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
