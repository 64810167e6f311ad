"""Train the same LoRA with several strategies, ranks and seeds, and compare them:
`python -m trainers.mpd_ablation --base FILE --data.prepared '["FOLDER"]' [--config FILE] [--key value ...]`.

FairHuman's ablation. What is finished is not done again, and a stopped training goes on.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from fairhands.adapters.samples import noise_of
from fairhands.base_models import BaseModel, Text
from fairhands.evaluation.ablation import BEFORE, PLAIN, Run, write_ablation
from fairhands.evaluation.fingers import read
from fairhands.evaluation.people_scores import Scorer, check_judge
from fairhands.fairness.samples import first_captions
from fairhands.fairness.settings import FairnessSettings, check
from fairhands.fairness.strategies import StrategyName
from fairhands.hands.detector import FaceDetector, HandDetector
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.program import stop
from fairhands.training.sheet import write_sheet
from fairhands.training.training_program import stop_without_memory
from fairhands.whole_files import write_whole
from trainers import mpd_lora

PROGRAM = "python -m trainers.mpd_ablation"
PURPOSE = "Train the same LoRA with several strategies, ranks and seeds, and compare hands, faces and losses."
RESULT = "result.json"
SHEET = 48  # pictures of each training that are kept to be looked at
COLUMNS = 12


class Evaluation(Configuration):
    """What is sampled and measured after each training."""

    pictures: int = Field(default=64, ge=1, le=10**5, description="Pictures of each training; all share their noise.")
    batch: int = Field(default=4, ge=1, description="Pictures sampled at once.")
    prompts: tuple[str, ...] = Field(
        default=(), description="What they show, in turn; none: captions of the pictures that are held out."
    )
    captions: int = Field(default=16, ge=1, description="How many captions, where no prompts are given.")
    steps: int = Field(default=20, ge=1, description="Steps of the sampler.")
    guidance: float = Field(default=5.0, ge=1, description="Classifier-free guidance; 1 is none.")
    negative: str = Field(default="", description="The prompt that guidance leads away from.")
    hand_detector: Path | None = Field(
        default=None, description="MediaPipe's hand_landmarker.task; left out: no hand confidence."
    )
    face_detector: Path | None = Field(
        default=None, description="MediaPipe's face_detection_full_range_sparse.tflite; left out: no face score."
    )
    judge: Path | None = Field(
        default=None,
        description="For the mannequin world's figures: weights/finger_judge.safetensors, or another judge.",
    )


class Settings(mpd_lora.Settings):
    """What is compared; the rest is how each LoRA is trained."""

    output: Path = Field(default=Path("mpd_ablation"), description="Folder for the trainings and what they came to.")
    strategies: tuple[Literal["single"] | StrategyName, ...] = Field(
        default=(PLAIN, "sum", "mpd"),
        min_length=1,
        description="Strategies to compare: single (the whole picture's loss alone) and those of fairness.strategy.",
    )
    ranks: tuple[int, ...] = Field(default=(64, 128, 256), min_length=1, description="Ranks to compare.")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="Seeds that each is trained with.")
    evaluation: Evaluation = Field(default=Evaluation(), description="What is measured.")


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        for strategy, rank, seed in _combinations(settings):
            own = run_settings(settings, strategy, rank, seed)
            check(own, own.training, own.output / mpd_lora.FILE, own.network.dropout)
        scorer = _scorer(settings.evaluation)
    except (ValueError, OSError) as error:
        stop(PROGRAM, 2, error)
    try:
        runs = list(_runs(settings, scorer))
        notes = {"settings": settings.model_dump(mode="json", exclude={"output"}), "torch": torch.__version__}
        print(write_ablation(settings.output, runs, notes), end="")
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command goes on from the last checkpoint in {settings.output}")
    except (ValueError, OSError, ImportError) as error:
        stop(PROGRAM, 1, error)
    except RuntimeError as error:
        stop_without_memory(PROGRAM, error, mpd_lora.OUT_OF_MEMORY)


def _combinations(settings: Settings) -> list[tuple[str, int, int]]:
    return [
        (strategy, rank, seed) for rank in settings.ranks for strategy in settings.strategies for seed in settings.seeds
    ]


def run_settings(settings: Settings, strategy: str, rank: int, seed: int) -> mpd_lora.Settings:
    """How one of the LoRAs is trained.

    `single` keeps the regions, so that their held-out losses are measured, with weights that leave the whole picture's
    gradient alone. Strategies that need no Gram matrix take one backward pass.
    """
    fairness = settings.fairness.model_dump()
    weighted = strategy in ("mpd", "mpd_closed_form", "torchjd")
    fairness |= {"strategy": strategy, "refresh_every": max(1, settings.fairness.refresh_every) if weighted else 0}
    if strategy == PLAIN:
        alone = (1.0, *(0.0 for _ in settings.objectives.names[1:]))
        fairness |= {"strategy": "fixed", "fixed": alone}
    plain = {name: getattr(settings, name) for name in mpd_lora.Settings.model_fields}
    plain |= {
        "output": settings.output / f"{strategy}_rank{rank}_seed{seed}",
        "seed": seed,
        "fairness": FairnessSettings.model_validate(fairness),
        "network": settings.network.model_copy(update={"rank": rank}),
    }
    return mpd_lora.Settings.model_validate(plain)


def _scorer(evaluation: Evaluation) -> Scorer:
    for path in (evaluation.hand_detector, evaluation.face_detector):
        if path is not None and not path.is_file():
            raise ValueError(f"{path} is no file; MediaPipe's models are named in fairhands/hands/files.py")
    return Scorer(
        hands=HandDetector(evaluation.hand_detector) if evaluation.hand_detector else None,
        faces=FaceDetector(evaluation.face_detector) if evaluation.face_detector else None,
        judge=read(evaluation.judge) if evaluation.judge else None,
    )


def _runs(settings: Settings, scorer: Scorer) -> Iterator[Run]:
    """The base model's figures and those of each training, made where they are not there yet."""
    first = run_settings(settings, PLAIN, settings.ranks[0], settings.seeds[0])
    yield _finished(settings, first, BEFORE, scorer)
    for strategy, rank, seed in _combinations(settings):
        yield _finished(settings, run_settings(settings, strategy, rank, seed), strategy, scorer)


def _finished(settings: Settings, own: mpd_lora.Settings, strategy: str, scorer: Scorer) -> Run:
    folder = settings.output / BEFORE if strategy == BEFORE else own.output
    made_of = json.loads(json.dumps([own.model_dump(mode="json"), settings.evaluation.model_dump(mode="json")]))
    kept = _kept(folder / RESULT, made_of)
    if kept is not None:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    # Latents and texts are kept in a folder that all trainings share.
    parts = mpd_lora.new_parts(own.model_copy(update={"output": settings.output}))
    size = own.data.resolution or parts.base.resolution
    if strategy == BEFORE:
        if scorer.judge is not None:
            base = parts.base
            accuracy = check_judge(scorer.judge, lambda pictures: base.decode(base.encode(pictures)), size)
            logging.getLogger(__name__).warning("the judge is right about %.1f%% of drawn hands", 100 * accuracy)
        before: dict[str, float] = {}
    else:
        before = _losses(own, parts)
        mpd_lora.train(parts, own)
    losses = _losses(own, parts)
    pictures = _sampled(settings.evaluation, parts, size)
    columns = min(COLUMNS, len(pictures))
    write_sheet(folder / "pictures.png", pictures[: min(SHEET, len(pictures)) // columns * columns], columns)
    run = Run(strategy, own.network.rank, own.seed, scorer.scores(pictures), losses, before)
    write_whole(folder / RESULT, (json.dumps({"made_of": made_of, "run": asdict(run)}) + "\n").encode())
    return run


def _kept(path: Path, made_of: list[Any]) -> Run | None:
    """The figures of a training that is finished.

    Raises:
        ValueError: it was trained or measured in another way.
    """
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["made_of"] != made_of:
        raise ValueError(f"{path} is of other settings: give those, or another output folder")
    return Run(**content["run"])


def _losses(own: mpd_lora.Settings, parts: mpd_lora.Parts) -> dict[str, float]:
    """The held-out pictures' losses, by objective."""
    found = parts.fair.measure()
    return {name: found[f"held_out/{name}"] for name in own.objectives.names if f"held_out/{name}" in found}


@torch.no_grad()
def _sampled(evaluation: Evaluation, parts: mpd_lora.Parts, size: int) -> Tensor:
    """Pictures of the trained model, float [N, 3, size, size]; the noise of each depends on its place alone."""
    prompts = evaluation.prompts or first_captions(parts.fair.people, evaluation.captions)
    texts = parts.fair.people.text((*prompts, evaluation.negative), (size, size)).to(parts.base.device)
    starts = range(0, evaluation.pictures, evaluation.batch)
    found = []
    for start in tqdm(starts, desc="sampling", unit="batch"):
        places = range(start, min(evaluation.pictures, start + evaluation.batch))
        asked = texts[[place % len(prompts) for place in places]]
        found.append(_pictures(evaluation, parts.base, asked, texts[-1:], places, size))
    return torch.cat(found)


def _pictures(evaluation: Evaluation, base: BaseModel, asked: Text, negative: Text, places: range, size: int) -> Tensor:
    cells = size // base.cells
    shape = (base.latent_channels, cells, cells)
    noise = torch.cat([noise_of(place, shape) for place in places]).to(base.device)
    negative = negative.repeated(len(places))
    with torch.autocast(base.device.type, torch.bfloat16):
        latents = base.sample(asked, negative, noise, evaluation.steps, evaluation.guidance)
        return base.decode(latents).float().clamp(0, 1).cpu()


if __name__ == "__main__":
    main()
