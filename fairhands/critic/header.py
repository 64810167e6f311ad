"""What a file is that should be a hand discriminator."""

from pathlib import Path

from ..weight_header import Header, HeaderError
from ..weight_header import read_header as read_any_header


class CriticFileError(ValueError):
    """A file that is no usable hand discriminator; its text says what it is, what is wanted, and whence."""


def refusal(path: Path, found: str, wanted: str = "a hand discriminator (.safetensors)") -> CriticFileError:
    """The error for a file: what it turned out to be, what was wanted instead."""
    return CriticFileError(
        f"{path} is {found}, expected {wanted}: train one with `python -m trainers.discriminator` and put it "
        "into ComfyUI's folder models/hand_discriminators."
    )


def read_header(path: Path) -> Header:
    """Read and check a safetensors file's header, and nothing of its tensors.

    Raises:
        CriticFileError: the file does not exist, cannot be read, or is no whole safetensors file.
    """
    try:
        return read_any_header(path)
    except HeaderError as error:
        raise refusal(path, str(error)) from error
