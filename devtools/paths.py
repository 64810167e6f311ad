"""Where the set-up keeps what it makes: everything under `.fairhands/` in the checkout, which git ignores."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".fairhands"
VENV = HOME / "venv"
COMFYUI = HOME / "comfyui"
MODELS = HOME / "models"
LOGS = HOME / "logs"
BASE = HOME / "comfy-base"
SCREENSHOTS = HOME / "screenshots"

MEDIAPIPE = MODELS / "mediapipe"
CHECKPOINT = MODELS / "checkpoints" / "fairhands_standin_sd15.safetensors"
CRITIC = MODELS / "hand_discriminators" / "mannequin_critic.safetensors"


def venv_python() -> Path:
    """The interpreter of the prepared environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def in_venv() -> bool:
    """Whether this process already runs in the prepared environment."""
    return Path(sys.prefix).resolve() == VENV.resolve()
