"""Base models of any family (SD 1.5, SDXL, the mannequin model) behind one small interface."""

from .loading import BaseModelError, fingerprint, load
from .model import Added, BaseModel, Text

__all__ = ["Added", "BaseModel", "BaseModelError", "Text", "fingerprint", "load"]
