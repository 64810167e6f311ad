"""Measure what guidance does to mannequin hands: `python -m trainers.benchmark [--n N] [--out DIR] ...`.

Samples the same seeds with each setting in a real ComfyUI that `dev.py` has set up, and judges the pictures.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from devtools import comfyui, environment
from devtools.client import ComfyClient, GraphFailed, GraphRefused
from devtools.paths import MEDIAPIPE
from devtools.sampling import SIDE, Guidance, Plan, Sampled, sample
from devtools.server import ComfyServer
from devtools.steps import StepFailed
from fairhands.evaluation.fingers import FingerJudge, WeightFileError, is_right, read
from fairhands.evaluation.measures import background_psnr, frechet_distance, kernel_distance, wilson_interval
from fairhands.evaluation.report import Figures, summary, write_report
from fairhands.hands.detector import HandDetector
from fairhands.hands.files import HAND_LANDMARKER, find
from fairhands.mannequin_world.pictures import draw_pictures
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.program import stop

PROGRAM = "python -m trainers.benchmark"
PURPOSE = "Measure what guidance does to mannequin hands, in ComfyUI's own samplers."

UNGUIDED = "unguided"
VISUAL, VISUAL_EXACT, VISUAL_NO_MASK = "visual", "visual_exact", "visual_no_mask"
TEXTUAL, BOTH, BOTH_EXACT, BOTH_NO_MASK = "textual", "both", "both_exact", "both_no_mask"
SETTINGS = (UNGUIDED, VISUAL, VISUAL_EXACT, VISUAL_NO_MASK, TEXTUAL, BOTH, BOTH_EXACT, BOTH_NO_MASK)
EXACT = (VISUAL_EXACT, BOTH_EXACT)
WITH_LORA = (TEXTUAL, BOTH, BOTH_EXACT, BOTH_NO_MASK)
# What is measured without a mask is compared outside the mask that the same guidance had.
MASKED = {VISUAL_NO_MASK: VISUAL, BOTH_NO_MASK: BOTH}
FIRST_REFERENCE_SEED = 7 * 10**12
SEEDS_APART = 10**6
# Hand Mask While Sampling with its usual settings, but for the background.
KEPT_BACKGROUND = {
    "max_hands": 4,
    "tiles": 1,
    "look_every": 1,
    "shape": "hull",
    "padding": 0.15,
    "feather": 0,
    "largest": 1.0,
    "remember": 0,
    "fallbacks": "",
    "keep_background": True,
}
FEATURES = "finger judge before its last layer, averaged over places, 128 numbers"


class Options(Configuration):
    """What can be chosen about a measurement."""

    n: int = Field(default=256, ge=2, description="Pictures of each setting.")
    settings: str = Field(default="unguided,visual", description=f"Settings, with commas: {', '.join(SETTINGS)}.")
    seed: int = Field(default=0, ge=0, lt=SEEDS_APART, description="Of the noise; the same for all settings.")
    out: Path = Field(default=Path("benchmark-output"), description="Folder for figures, plot and pictures.")
    prompt: str = Field(default="hand", description="What the mannequin model is asked for.")
    cfg: float = Field(default=1.0, ge=0, description="Classifier-free guidance; 1 is none.")
    steps: int = Field(default=20, ge=1, description="Steps of the sampler.")
    shift: float = Field(default=1.0, gt=0, description="SD3's shift of the noise levels toward noise; 1 is none.")
    w: float = Field(default=4.0, ge=0, description="Strength of visual guidance.")
    exact_w: float = Field(default=3.0, ge=0, description="Strength of its exact form.")
    schedule: str = Field(default="noise", description="Visual guidance over its window, as the node names it.")
    normalisation: str = Field(default="unit", description="Of the critic's gradient, as the node names it.")
    recurrence: int = Field(default=1, ge=1, description="How often each guided step is taken.")
    v: float = Field(default=2.0, description="Strength of the hand LoRA's difference.")
    lora: str = Field(default="mannequin_hands.safetensors", description="The hand LoRA, a file in models/loras.")
    first_timestep: float = Field(default=800.0, ge=0, le=1000, description="Guidance begins here (1000 is noise).")
    last_timestep: float = Field(default=300.0, ge=0, le=1000, description="Guidance ends here.")
    detection_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Score from which on a hand counts, in guidance."
    )
    keep_background: bool = Field(
        default=False, description="Sample without guidance first, and keep that outside the mask."
    )
    critic: str = Field(default="studio_critic.safetensors", description="File in models/hand_discriminators.")
    judge: Path = Field(default=Path("weights/finger_judge.safetensors"), description="The judge's file.")
    batch: int = Field(default=32, ge=1, description="Pictures in one graph.")
    reference: int = Field(default=1000, ge=2, description="Drawn right hands that FID and KID compare with.")
    workers: int = Field(default=2, ge=0, description="Processes that draw the reference.")


def main() -> None:
    options = from_command_line(Options, PROGRAM, PURPOSE)
    try:
        figures = measure(options)
    except KeyboardInterrupt:
        stop(PROGRAM, 130, "stopped; nothing was written")
    except (StepFailed, WeightFileError, GraphRefused, GraphFailed, ValueError, OSError) as error:
        stop(PROGRAM, 1, error)
    print(summary(figures))
    print(f"Figures, plot and pictures are in {options.out}.")


def measure(options: Options) -> dict[str, Figures]:
    """Sample, judge and write the report; the figures by setting.

    Raises:
        ValueError: an unknown setting.
        StepFailed: ComfyUI has not been set up or does not start.
    """
    names = _names(options)
    options.out.mkdir(parents=True, exist_ok=True)
    judge = read(options.judge)
    sampled = _sampled(options, names)
    reference = judge.features(_right_hands(options) / 255)
    masks = {name: sampled[MASKED.get(name, name)].masks for name in names}
    figures = {name: _figures(sampled[name], sampled[UNGUIDED], masks[name], judge, reference) for name in names}
    notes = {
        "options": options.model_dump(mode="json", exclude={"out", "judge"}),
        "features": FEATURES,
        "reference": f"{len(reference)} drawn right hands",
    }
    write_report(options.out, figures, {name: sampled[name].pictures for name in names}, notes)
    return figures


def _names(options: Options) -> list[str]:
    """The settings to measure, in their order, with those that others are compared with."""
    asked = [name.strip() for name in options.settings.split(",")]
    unknown = [name for name in asked if name not in SETTINGS]
    if unknown:
        raise ValueError(f"settings: expected some of {', '.join(SETTINGS)}, found {unknown[0]!r}")
    if not options.lora and any(name in WITH_LORA for name in asked):
        raise ValueError(f"lora: expected a file in models/loras for {', '.join(WITH_LORA)}, found none")
    needed = [UNGUIDED, *asked, *(MASKED[name] for name in asked if name in MASKED)]
    return [name for name in SETTINGS if name in needed]


def _sampled(options: Options, names: list[str]) -> dict[str, Sampled]:
    """The pictures of each setting, from one server."""
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("No ComfyUI is set up yet: run `python3 dev.py demo` first.")
    sampled = {}
    with tempfile.TemporaryDirectory() as base, _server(comfy_ui, prepared, base) as server:
        client = ComfyClient(server.address)
        for name in names:
            sampled[name] = _sampled_setting(client, name, options)
    return sampled


def _server(comfy_ui: comfyui.ComfyUI, prepared: environment.Environment, base: str) -> ComfyServer:
    """A server that decodes in bfloat16, which halves the time of guidance on processors."""
    return ComfyServer(comfy_ui, prepared, Path(base), options=("--bf16-vae",))


def _sampled_setting(client: ComfyClient, name: str, options: Options) -> Sampled:
    guidance, parts = _guidance(name, options), []
    plan = Plan(options.prompt, options.cfg, options.steps, options.shift)
    starts = range(0, options.n, options.batch)
    for number, start in enumerate(tqdm(starts, desc=f"sampling {name}", unit="batch")):
        seed, count = options.seed * SEEDS_APART + number, min(options.batch, options.n - start)
        parts.append(sample(client, guidance, plan, seed, count))
    masks = [part.masks for part in parts if part.masks is not None]
    return Sampled(
        torch.cat([part.pictures for part in parts]),
        torch.cat(masks) if masks else None,
        sum(part.seconds for part in parts),
    )


def _guidance(name: str, options: Options) -> Guidance | None:
    """What a setting's name stands for."""
    if name == UNGUIDED:
        return None
    looking = {
        "decoder": "vae",
        "detection_threshold": options.detection_threshold,
        "download_missing": False,
    }
    window = {
        "first_timestep": options.first_timestep,
        "last_timestep": options.last_timestep,
        "window_in": "timesteps",
        "every": 1,
    }
    return Guidance(
        options.critic,
        visual={**window, **looking, **_visual(name, options)} if name != TEXTUAL else None,
        textual={**window, **looking, **_textual(options)} if name in WITH_LORA else None,
        mask={**looking, **KEPT_BACKGROUND} if options.keep_background else None,
        everywhere=name in MASKED,
    )


def _visual(name: str, options: Options) -> dict[str, Any]:
    exact = name in EXACT
    return {
        "w": options.exact_w if exact else options.w,
        "mode": "exact" if exact else "fast",
        "schedule": options.schedule,
        "normalisation": options.normalisation,
        "recurrence": options.recurrence,
        "weigh_by_score": False,
        "measure_effect": False,
    }


def _textual(options: Options) -> dict[str, Any]:
    return {"lora_name": options.lora, "v": options.v, "schedule": "constant", "applies_to": "cond"}


def _right_hands(options: Options) -> Tensor:
    """Drawn right hands, uint8 [M, 3, H, W], that nothing was trained with."""
    drawn = draw_pictures(FIRST_REFERENCE_SEED, options.reference, SIDE, options.workers, kind="right")
    return drawn.pictures


def _figures(
    sampled: Sampled, unguided: Sampled, masks: Tensor | None, judge: FingerJudge, reference: Tensor
) -> Figures:
    pictures = sampled.pictures / 255
    right = int(is_right(judge.verdicts(pictures)).sum())
    features = judge.features(pictures)
    found = _confidences(sampled.pictures)
    psnr = None
    if masks is not None:
        psnr = background_psnr(sampled.pictures, unguided.pictures, masks)
    return Figures(
        n=len(pictures),
        right_rate=right / len(pictures),
        right_rate_ci95=wilson_interval(right, len(pictures)),
        hand_probability=len(found) / len(pictures),
        hand_confidence=sum(found) / len(found) if found else None,
        fid=frechet_distance(features, reference),
        kid=kernel_distance(features, reference),
        background_psnr=psnr,
        seconds_per_image=sampled.seconds / len(pictures),
    )


def _confidences(pictures: Tensor) -> list[float]:
    """MediaPipe's best handedness score on each picture in which it finds a hand."""
    detector = HandDetector(find(MEDIAPIPE, HAND_LANDMARKER))
    hands = detector.detect_batch(pictures.permute(0, 2, 3, 1) / 255)
    return [max(hand.score for hand in some) for some in hands if some]


if __name__ == "__main__":
    main()
