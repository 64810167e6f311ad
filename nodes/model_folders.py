"""The pack's own folders under ComfyUI's models, `hand_discriminators` and `mediapipe`, and the weights it ships."""

import os
from pathlib import Path

import folder_paths

from ..fairhands.hands import files

HAND_DISCRIMINATORS = "hand_discriminators"
MEDIAPIPE = "mediapipe"
# Pickled endings are listed too, so that such a file is refused with a reason instead of being invisible.
ENDINGS = {HAND_DISCRIMINATORS: {".safetensors", ".pt", ".pth", ".ckpt", ".bin"}, MEDIAPIPE: {".task", ".tflite"}}

# The mannequin model, its hand LoRA and its critic come with the pack, so that a graph runs as soon as it is installed.
WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = ("checkpoints", "loras", HAND_DISCRIMINATORS)


def register_model_folders() -> None:
    """Make ComfyUI know the folders, beside those that an extra_model_paths file names for them, and what we ship."""
    for name, endings in ENDINGS.items():
        default = os.path.join(folder_paths.models_dir, name)
        others = folder_paths.folder_names_and_paths.get(name, ([], set()))[0]
        folder_paths.folder_names_and_paths[name] = (list(dict.fromkeys([default, *others])), endings)
        os.makedirs(default, exist_ok=True)
    for name in SHIPPED:
        folder_paths.add_model_folder_path(name, str(WEIGHTS / name))


def detector_file(model: files.ModelFile, download_missing: bool) -> Path:
    """The path of a detector's file in `models/mediapipe`, fetched where the user asked for that.

    Raises FileNotFoundError, in a sentence that says how to get it, and what `files.download` raises.
    """
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(MEDIAPIPE)]
    for folder in folders:
        if (folder / model.name).is_file():
            return files.find(folder, model)
    if download_missing:
        return files.download(model, folders[0])
    return files.find(folders[0], model)
