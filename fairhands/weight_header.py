"""The header of a safetensors file, and what a file is that has none or the wrong one.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: for each tensor its
type, shape and place in the data; texts under `__metadata__`), and the tensors' data.
"""

import json
from dataclasses import dataclass
from pathlib import Path

METADATA = "__metadata__"
LENGTH = 8
LONGEST_HEADER = 100_000_000  # what the safetensors library takes
PICKLES = (
    b"PK\x03\x04",
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
)  # torch.save's, then pickle's own

# What the keys of other models' files have in them, the most telling first.
OTHER_KINDS = {
    "lora_controlnet": "a ControlNet",
    ".lora_": "a LoRA",
    "_lora.": "a LoRA",
    ".hada_": "a LoRA",
    ".lokr_": "a LoRA",
    ".oft_": "a LoRA",
    "controlnet_": "a ControlNet",
    "control_model.": "a ControlNet",
    "zero_convs.": "a ControlNet",
    ".adapter.body.": "a T2I-Adapter",
    ".body.0.block1.": "a T2I-Adapter",
    ".body.0.in_conv.": "a T2I-Adapter",
    "model.diffusion_model.": "a checkpoint of a base model",
    "double_blocks.": "a base model",
    "down_blocks.": "a U-Net or VAE of a base model",
    "encoder.conv_in.": "a VAE",
    "text_model.": "a text encoder",
    "vision_model.": "a vision encoder",
}


class HeaderError(ValueError):
    """A file that is no whole safetensors file; its text says what it is, to be put after "it is"."""


@dataclass(frozen=True)
class Header:
    """What a safetensors file holds: its texts, and the shape of each tensor."""

    metadata: dict[str, str]
    shapes: dict[str, list[int]]

    def guess(self) -> str:
        """What kind of file it is, in words, from its metadata or else from the names of its tensors."""
        if "fairhands.kind" in self.metadata:
            return f"a file of the kind {self.metadata['fairhands.kind']!r}"
        for part, kind in OTHER_KINDS.items():
            if any(part in f".{name}" for name in self.shapes):
                return kind
        return f"a safetensors file of another kind ({len(self.shapes)} tensors, no fairhands.kind)"


def read_header(path: Path) -> Header:
    """Read and check a safetensors file's header, and nothing of its tensors.

    Raises:
        HeaderError: the file does not exist, cannot be read, or is no whole safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(LENGTH)
            length = int.from_bytes(start, "little")
            text = file.read(length) if length <= LONGEST_HEADER else b""
    except FileNotFoundError as error:
        raise HeaderError("not there") from error
    except OSError as error:
        raise HeaderError(f"not readable ({error.strerror})") from error
    if size == 0:
        raise HeaderError("empty")
    if length > LONGEST_HEADER and start.startswith(PICKLES):
        pickled = "a pickled PyTorch file; only safetensors are read, because pickles can run code"
        raise HeaderError(pickled)
    if length > LONGEST_HEADER or (text and not text.startswith(b"{")):
        raise HeaderError("not a safetensors file")
    if len(start) < LENGTH or len(text) < length:
        raise HeaderError(f"cut short: only {size} bytes are there")
    return _parsed(text, size - LENGTH - length)


def _parsed(text: bytes, data_size: int) -> Header:
    try:
        entries = json.loads(text)
        metadata = entries.pop(METADATA, {})
        shapes = {name: entry["shape"] for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise HeaderError("a safetensors file with a damaged header") from error
    if data_size < end:
        raise HeaderError(f"cut short: {end - data_size} bytes are missing at its end")
    return Header(metadata, shapes)
