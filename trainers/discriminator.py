"""Train a hand discriminator: `python -m trainers.discriminator [--config FILE] [--key value ...]`.

Without anything given it learns from drawn hands with the smallest backbone: about a minute on two processor cores.
"""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairhands.base_models.loading import load as load_base
from fairhands.critic import Critic, CriticConfig, load, save
from fairhands.critic.config import Transformer
from fairhands.critic.pretrained import pretrained
from fairhands.critic.training.augmentation import augment
from fairhands.critic.training.features import cached_features
from fairhands.critic.training.gradient_check import check_gradient, detector_judge, finger_judge
from fairhands.critic.training.judging import judge, text_of
from fairhands.critic.training.objective import new_namer, pair_losses
from fairhands.critic.training.pairs import JoinedPairs, Pairs, choose
from fairhands.critic.training.pairs import load as load_pairs
from fairhands.critic.training.prepared_pairs import PreparedPairs
from fairhands.critic.training.report import write_report
from fairhands.critic.training.settings import CONV, FILE, Checking, Settings
from fairhands.critic.training.sources import drawn_pairs, prepared_pairs
from fairhands.critic.training.texts import text_encoder
from fairhands.data.prepared import PreparedHandsError
from fairhands.evaluation import fingers
from fairhands.hands import files
from fairhands.hands.detector import HandDetector
from fairhands.training.checkpoint import CheckpointError
from fairhands.training.configuration import from_command_line
from fairhands.training.draw import Draw
from fairhands.training.loop import Loop, Losses
from fairhands.training.optimisers import new_optimiser
from fairhands.training.processes import device, end, state
from fairhands.training.program import stop
from fairhands.whole_files import prepare_folder

PROGRAM = "python -m trainers.discriminator"
PURPOSE = "Train a hand discriminator, the critic of FairHands' visual guidance."
NAME = "discriminator"
BETAS = (0.0, 0.99)  # StyleGAN-T's
SHAPE = ("backbone", "input_size", "margin", "widths")  # settings of a new discriminator's shape
CONV_INPUT_SIZE, VIT_INPUT_SIZE = 64, 224


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        prepare_folder(settings.output / FILE)
        encoder = text_encoder(settings.text_encoder, settings.download) if settings.text_encoder else None
        critic = new_critic(settings, encoder.dimension if encoder else None).to(device())
        training, held_out = _pairs(settings, critic.config)
        if encoder and not training.texts:
            raise ValueError("text_encoder: the pairs have no captions for it to embed, so leave it out")
        check = new_check(settings.check, held_out)
        texts = {pairs: encoder.embedded(pairs.texts).to(device()) for pairs in (training, held_out)} if encoder else {}
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped before the training began; nothing is in {settings.output} but drawn pairs")
    except (ValueError, OSError) as error:
        stop(PROGRAM, 2, error)
    try:
        figures = _trained(critic, training, held_out, texts, check, settings)
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command goes on from the last checkpoint in {settings.output}")
    except (CheckpointError, PreparedHandsError, OSError) as error:
        stop(PROGRAM, 1, error)
    if state().is_main_process:
        print(f"{settings.output / FILE}: held-out accuracy {figures['accuracy']:.3f}, AUC {figures['auc']:.3f}")
    end()


def new_critic(settings: Settings, text_dimension: int | None) -> Critic:
    """The discriminator to train, on the CPU: a new one, or one from a file; a transformer in it stays frozen.

    Raises:
        ValueError: a shape that it cannot have, or no such backbone.
        CriticFileError: the file to start from is none.
    """
    torch.manual_seed(settings.seed)
    if settings.start_from is not None:
        critic = _started_from(settings.start_from, settings, text_dimension)
    elif settings.backbone == CONV:
        critic = Critic(_config(settings, text_dimension, None))
    else:
        transformer, weights = pretrained(settings.backbone, settings.download)
        critic = Critic(_config(settings, text_dimension, transformer))
        critic.backbone.fill(weights)
    critic.heads.requires_grad_(True)
    critic.backbone.requires_grad_(critic.config.transformer is None and not settings.frozen)
    return critic


def _started_from(path: Path, settings: Settings, text_dimension: int | None) -> Critic:
    """The discriminator of a file, whose shape counts."""
    given = [name for name in SHAPE if name in settings.model_fields_set]
    if given:
        raise ValueError(f"start_from: the file's own {' and '.join(given)} count, so leave out what is given")
    critic, _ = load(path)
    if critic.config.text_dimension != text_dimension:
        raise ValueError(
            f"text_encoder: {path} judges by texts of {critic.config.text_dimension or 'no'} numbers, found "
            f"{text_dimension or 'none'}: give the encoder that it was trained with "
            f"({critic.config.text_encoder or 'none'})"
        )
    return critic


def _config(settings: Settings, text_dimension: int | None, transformer: Transformer | None) -> CriticConfig:
    return CriticConfig(
        backbone="vit" if transformer else CONV,
        input_size=settings.input_size or (VIT_INPUT_SIZE if transformer else CONV_INPUT_SIZE),
        margin=settings.margin,
        widths=settings.widths,
        text_dimension=text_dimension,
        text_encoder=settings.text_encoder,
        transformer=transformer,
    )


def _pairs(settings: Settings, config: CriticConfig) -> tuple[Pairs, Pairs]:
    """The pairs to train on, and those held out."""
    data = settings.data
    prepared = prepared_pairs(data.prepared, config, data.held_out) if data.prepared else None
    if prepared is not None and not data.drawn_beside:
        return prepared
    drawn = drawn_pairs(data, settings.seed, config, settings.output, settings.workers)
    return drawn if prepared is None else (JoinedPairs([prepared[0], drawn[0]]), prepared[1])


def new_check(checking: Checking, held_out: Pairs) -> Callable[[Critic], dict[str, Any]]:
    """The gradient check as a function of the critic, its base model and judge loaded.

    Raises:
        ValueError: a base model or judge that cannot be had, or hands without their surroundings.
    """
    if checking.base is None:
        return lambda critic: {}
    if not isinstance(held_out, PreparedPairs):
        raise ValueError("check.base wants prepared hands (data.prepared), which have their surroundings")
    base = load_base(checking.base, device(), torch.float32)
    if checking.finger_judge is not None:
        other = finger_judge(fingers.read(checking.finger_judge))
    else:
        other = detector_judge(HandDetector(files.find(checking.models, files.HAND_LANDMARKER), threshold=0.3))
    finished = [pair for pair in range(len(held_out)) if not held_out.is_estimate(pair)]
    chosen = [held_out.wide_crop(held_out.rows(pair, 0)[1]) for pair in finished[: checking.hands]]

    def check(critic: Critic) -> dict[str, Any]:
        pictures = [((picture / 255).to(base.device), box) for picture, box in chosen]
        return {"gradient_check": check_gradient(critic, pictures, base, other, checking.weight)._asdict()}

    return check


def _trained(
    critic: Critic,
    training: Pairs,
    held_out: Pairs,
    texts: dict[Pairs, Tensor],
    check: Callable[[Critic], dict[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    """Train the critic, measure it on held-out pairs, write its file and report; the figures."""
    curve = train(critic, training, held_out, texts, settings)
    judgement = judge(critic, held_out, texts.get(held_out))
    figures = {**judgement.figures(), **check(critic)}
    critic.config = dataclasses.replace(critic.config, calibration=judgement.calibration())
    if state().is_main_process:
        summary = _summary(settings, len(training), {**figures, "losses": curve})
        save(critic, settings.output / FILE, summary, settings.with_backbone)
        write_report(settings.output / "report", judgement, curve, summary)
    return figures


def train(
    critic: Critic, training: Pairs, held_out: Pairs, texts: dict[Pairs, Tensor], settings: Settings
) -> list[tuple[int, float]]:
    """Train the critic in place, from its last checkpoint if there is one; its loss curve."""
    torch.manual_seed(settings.seed)
    namer = new_namer(critic).to(device())
    nn.utils.convert_conv2d_weight_memory_format(critic, torch.channels_last)  # faster
    adam = partial(new_optimiser, "adamw", learning_rate=settings.training.learning_rate, betas=BETAS)
    loop = Loop(critic, settings.training, settings.seed, settings.output, NAME, beside=namer, optimiser=adam)
    frozen = not any(weight.requires_grad for weight in critic.backbone.parameters())
    still = critic.config.transformer is not None and settings.augmentation.is_off
    cached = cached_features(critic, training, settings.output) if still else None
    loaded = load_pairs(training, loop.passes(), settings.workers, cached)
    look = torch.compile(critic.features) if settings.compile else critic.features

    def features(pairs: Tensor, draw: Draw) -> list[Tensor]:
        if cached is not None:
            return list(pairs.flatten(0, 1).to(loop.device).float().unbind(dim=1))
        changed = augment(pairs.to(loop.device) / 255, settings.augmentation, draw).flatten(0, 1)
        with torch.set_grad_enabled(not frozen):
            return look(changed.contiguous(memory_format=torch.channels_last))

    def losses(draw: Draw) -> Losses:
        pairs = next(loaded)
        choose(training, draw)  # the loader drew these numbers before; augmentation draws the next ones
        text = text_of(texts.get(training), pairs.texts)
        return pair_losses(
            critic, namer, features(pairs.seen, draw), pairs.kinds.to(loop.device), text, settings.objective
        )

    def sample(step: int) -> dict[str, float]:
        with loop.averaged.in_place():
            figures = judge(critic, held_out, texts.get(held_out)).figures()
        shown = {name: figures[name] for name in ("accuracy", "auc", "auc_of_estimates", "calibration_error")}
        return {f"held_out/{name}": value for name, value in shown.items() if value is not None}

    loop.run(losses, sample)
    return loop.curve


def _summary(settings: Settings, pairs: int, held_out: dict[str, Any]) -> dict[str, Any]:
    data = settings.data
    what = f"from {', '.join(map(str, data.prepared))}" if data.prepared else "of drawn hands, right and malformed"
    return {
        "command": f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip(),
        "seed": settings.seed,
        "steps": settings.training.steps,
        "data": f"{pairs} pairs {what}",
        "held_out": held_out,
        "settings": settings.model_dump(mode="json", exclude={"output"}),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
