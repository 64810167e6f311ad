"""The hand discriminator: a network that tells right hands from malformed ones, and its file."""

from .config import CriticConfig
from .file import CriticFileError, describe, load, save
from .network import Critic

__all__ = ["Critic", "CriticConfig", "CriticFileError", "describe", "load", "save"]
