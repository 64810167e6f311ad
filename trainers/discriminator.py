"""Train a hand discriminator: `python -m trainers.discriminator [--config FILE] [--key value ...]`.

So far on mannequin hands and with the smallest backbone; about a minute on two processor cores.
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from fairhands.critic import Critic, CriticConfig, save
from fairhands.critic.augmentation import augment
from fairhands.critic.mannequin_pairs import MALFORMED, MannequinPairs
from fairhands.critic.measures import accuracy, area_under_curve
from fairhands.critic.studio_pairs import Hands, studio_pairs
from fairhands.mannequin_world import file
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.program import stop
from fairhands.weight_files import WeightFileError
from fairhands.whole_files import prepare_folder

PROGRAM = "python -m trainers.discriminator"
PURPOSE = "Train a hand discriminator, the critic of FairHands' visual guidance, on mannequin hands."

MOST_PAIRS = 1_000_000
FIRST_HELD_OUT_SEED = 10**12  # beyond every training seed
DRAWN_AT_ONCE = 20
CURVE_POINTS = 20


class Data(Configuration):
    """What is learnt from."""

    pairs: int = Field(
        default=1200,
        ge=1,
        le=MOST_PAIRS,
        description="Pairs to train on: a scene with a right and a malformed hand.",
    )
    held_out_pairs: int = Field(
        default=140,
        ge=1,
        le=MOST_PAIRS,
        description="Other pairs, never trained on, to measure the result with.",
    )
    drawn_size: int = Field(default=96, ge=64, description="Side of the drawn pictures in pixels, before cropping.")
    model: Path | None = Field(
        default=None,
        description="A mannequin model's file: train the critic that guides it, on studio hands and its estimates.",
    )
    estimates: int = Field(
        default=2, ge=0, description="How often each pair is seen as the model estimates it, beside as it was drawn."
    )
    lowest_level: float = Field(default=0.1, ge=0, le=1, description="Lowest noise level of those estimates.")
    highest_level: float = Field(default=0.7, ge=0, le=1, description="Highest noise level of those estimates.")
    workers: int = Field(default=2, ge=0, description="Processes that draw; 0 draws in the program itself.")


class Settings(Configuration):
    """What can be chosen about a training."""

    output: Path = Field(
        default=Path("hand_critic.safetensors"),
        description="The file to write; ComfyUI looks for it in its folder models/hand_discriminators.",
    )
    seed: int = Field(default=0, ge=0, lt=MOST_PAIRS, description="The same seed gives the same training.")
    steps: int = Field(default=520, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=16, ge=1, description="Pairs of pictures looked at in a step.")
    learning_rate: float = Field(default=1.5e-3, gt=0, description="Adam's learning rate after the warm-up.")
    kind_weight: float = Field(
        default=3.0,
        ge=0,
        description="Weight of naming the malformation, which helps the backbone to see fingers.",
    )
    blurred: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Share of pairs blurred and noised, as guidance will see pictures.",
    )
    backbone: str = Field("conv", description="The network's backbone; there is only conv yet.")
    input_size: int = Field(default=64, ge=4, description="Side of the pictures that the critic takes in pixels.")
    margin: float = Field(
        default=0.15,
        ge=0,
        description="Context around a hand's box on each side, relative to its longer side.",
    )
    widths: tuple[int, ...] = Field(
        default=(16, 32, 64, 128), description="Channels of the backbone's stages; each halves the picture."
    )
    data: Data = Field(default=Data(), description="What is learnt from.")


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        torch.manual_seed(settings.seed)
        critic = Critic(_network(settings))
        prepare_folder(settings.output)
    except (ValueError, OSError) as error:
        stop(PROGRAM, 2, str(error))
    try:
        figures = _trained(critic, settings)
        save(critic, settings.output, _summary(settings, figures))
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; {settings.output} was not written")
    except WeightFileError as error:
        stop(PROGRAM, 2, str(error))
    except OSError as error:
        stop(PROGRAM, 1, f"{settings.output} was not written: {error}")
    print(f"{settings.output}: held-out accuracy {figures['accuracy']:.3f}, AUC {figures['auc']:.3f}")


def _network(settings: Settings) -> CriticConfig:
    return CriticConfig(settings.backbone, settings.input_size, settings.margin, settings.widths)


def _trained(critic: Critic, settings: Settings) -> dict[str, Any]:
    """Train the critic; give its loss curve and its figures on hands that it has not seen."""
    data = settings.data
    hands = drawn(settings, settings.seed * MOST_PAIRS, data.pairs, "drawing hands")
    held_out = drawn(settings, FIRST_HELD_OUT_SEED, data.held_out_pairs, "drawing held-out hands")
    losses = train(critic, hands, settings)
    return {"losses": _curve(losses), **measure(critic, held_out)}


def drawn(settings: Settings, first_seed: int, count: int, title: str) -> Hands:
    """Draw pairs of hands, the same ones for the same seeds."""
    data = settings.data
    if data.model is not None:
        levels = data.lowest_level, data.highest_level
        model = file.read(data.model)
        return studio_pairs(first_seed, count, _network(settings), model, data.estimates, levels, data.workers)
    pairs = MannequinPairs(first_seed, count, data.drawn_size, settings.input_size, settings.margin)
    loader = DataLoader(pairs, batch_size=DRAWN_AT_ONCE, num_workers=data.workers)
    parts = list(tqdm(loader, desc=title, unit="batch"))
    return Hands(torch.cat([part for part, _ in parts]), torch.cat([kinds for _, kinds in parts]))


def train(critic: Critic, hands: Hands, settings: Settings) -> list[float]:
    """Train the critic in place on pairs; the loss of each step."""
    generator = torch.Generator().manual_seed(settings.seed)
    namer = nn.Linear(sum(critic.backbone.channels), 1 + len(MALFORMED))
    weights = [*critic.parameters(), *namer.parameters()]
    adam = torch.optim.Adam(weights, lr=settings.learning_rate, betas=(0.0, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _pace(step / settings.steps))
    nn.utils.convert_conv2d_weight_memory_format(critic.train(), torch.channels_last)  # faster on processors
    losses = []
    for _ in (progress := tqdm(range(settings.steps), desc="training", unit="step")):
        chosen = torch.randint(len(hands.pairs), (settings.batch,), generator=generator)
        pairs = augment(hands.pairs[chosen] / 255, settings.blurred, generator)
        loss = step_loss(critic, namer, pairs, hands.kinds[chosen], settings.kind_weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    critic.eval()
    return losses


def step_loss(critic: Critic, namer: nn.Module, pairs: Tensor, kinds: Tensor, kind_weight: float) -> Tensor:
    """The hinge loss of each picture's mean logit, and the cross-entropy of naming its kind.

    StyleGAN-T takes the hinge of every logit. Here it is that of their mean, which is what guidance uses: a
    place that shows no finger cannot tell five from six. The difference is small (held-out accuracy 0.90
    against 0.88, one seed each).

    Args:
        critic: the discriminator in training mode.
        namer: features averaged over positions, [N, channels] -> logits of the kinds, right first. Not kept.
        pairs: float [P, 2, 3, S, S] in 0..1, the right hand first.
        kinds: int [P], the malformed hands' kinds.
        kind_weight: the weight of the cross-entropy.
    """
    features = critic.features(pairs.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    mean_logits = critic.judge(features).mean(dim=1).view(-1, 2)
    hinge = functional.relu(1 - mean_logits * mean_logits.new_tensor([1, -1])).mean()
    pooled = torch.cat([part.mean(dim=2) for part in features], dim=1)
    names = torch.stack([torch.zeros_like(kinds), 1 + kinds], dim=1).flatten()
    return hinge + kind_weight * functional.cross_entropy(namer(pooled), names)


def _pace(share: float) -> float:
    """The learning rate's factor: up in the first twentieth, down from the middle on."""
    return min(1.0, 0.05 + 20 * share, 0.02 + 2 * (1 - share))


@torch.no_grad()
def measure(critic: Critic, hands: Hands) -> dict[str, Any]:
    """Accuracy and area under the curve on pairs, the latter for each malformed kind too."""
    scores = [critic(pair / 255).mean(dim=1) for pair in hands.pairs]
    right, malformed = torch.stack(scores).unbind(dim=1)
    by_kind = {kind: malformed[hands.kinds == place] for place, kind in enumerate(MALFORMED)}
    return {
        "accuracy": accuracy(right, malformed),
        "auc": area_under_curve(right, malformed),
        "auc_by_kind": {kind: area_under_curve(right, some) for kind, some in by_kind.items() if len(some)},
    }


def _curve(losses: list[float]) -> list[float]:
    """The losses averaged over stretches of the training."""
    stretch = math.ceil(len(losses) / CURVE_POINTS)
    parts = [losses[start : start + stretch] for start in range(0, len(losses), stretch)]
    return [sum(part) / len(part) for part in parts]


def _summary(settings: Settings, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip(),
        "seed": settings.seed,
        "steps": settings.steps,
        "data": f"{settings.data.pairs} pairs of mannequin hands, right and malformed",
        "held_out": {"pairs": settings.data.held_out_pairs, **figures},
        "settings": settings.model_dump(mode="json"),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
