"""Train the independent judge: `python -m trainers.finger_judge --model FILE [--config FILE] [--key value ...]`.

It sees drawn pictures, the autoencoder's reconstructions of them, blurred and noisy ones, and pictures without a hand.
"""

import sys
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from fairhands.data.mannequin import DATA_VERSION
from fairhands.evaluation.fingers import INPUT_SIZE, VERDICTS, FingerJudge, is_right, write
from fairhands.mannequin_world import file
from fairhands.mannequin_world.autoencoder import Autoencoder
from fairhands.mannequin_world.pictures import Pictures, draw_pictures
from fairhands.training.checkpoint import CheckpointError
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.draw import Draw
from fairhands.training.loop import Loop, LoopSettings, Losses
from fairhands.training.processes import device
from fairhands.training.program import stop
from fairhands.weight_files import WeightFileError
from fairhands.whole_files import prepare_folder

PROGRAM = "python -m trainers.finger_judge"
PURPOSE = "Train the judge that counts fingers on mannequin pictures."

FIRST_SEED = 5 * 10**12  # beyond every seed that the critic and the mannequin model are trained with
FIRST_HELD_OUT_SEED = 6 * 10**12
FILE = "finger_judge.safetensors"
AT_ONCE = 8
NO_HAND = len(VERDICTS) - 1
WITHOUT_HAND = 0.06  # of a batch


class JudgeLoop(LoopSettings):
    """The judge's training."""

    steps: int = Field(default=450, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=48, ge=1, description="Pictures looked at in a step.")
    learning_rate: float = Field(default=2e-3, gt=0, description="AdamW's learning rate after the warm-up.")
    warm_up: int = Field(default=50, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(default=0.99, ge=0, lt=1, description="Decay of the moving average of the weights.")


class Settings(Configuration):
    """What can be chosen about a training."""

    model: Path = Field(
        default=Path("mannequin/mannequin_model.safetensors"), description="The mannequin model to judge."
    )
    output: Path = Field(default=Path("finger_judge"), description="Folder for the judge, its checkpoints and logs.")
    seed: int = Field(default=0, ge=0, lt=1000, description="The same seed gives the same training.")
    pictures: int = Field(default=3000, ge=1, lt=10**6, description="Drawn pictures to learn from.")
    held_out: int = Field(
        default=500, ge=1, lt=10**6, description="Other pictures, never trained on, to measure it with."
    )
    workers: int = Field(default=2, ge=0, description="Processes that draw; 0 draws in the program itself.")
    training: JudgeLoop = Field(default=JudgeLoop(), description="The judge's training.")


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        prepare_folder(settings.output / FILE)
        autoencoder = file.read(settings.model).autoencoder
        figures = _train_and_measure(autoencoder.to(device()), settings)
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command goes on from the last checkpoint in {settings.output}")
    except (CheckpointError, WeightFileError, OSError) as error:
        stop(PROGRAM, 1, error)
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))


def _train_and_measure(autoencoder: Autoencoder, settings: Settings) -> dict[str, float]:
    judge = train(*_seen(FIRST_SEED + settings.seed * 10**6, settings.pictures, autoencoder, settings), settings)
    figures = measure(judge, *_seen(FIRST_HELD_OUT_SEED, settings.held_out, autoencoder, settings))
    made_by = {
        "command": f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip(),
        "seed": settings.seed,
        "data": f"{settings.pictures} studio pictures of mannequin hands and their reconstructions",
        "data_version": DATA_VERSION,
        "held_out": {"pictures": settings.held_out, **figures},
        "torch": torch.__version__,
    }
    write(judge, settings.output / FILE, made_by)
    return figures


def _seen(first_seed: int, count: int, autoencoder: Autoencoder, settings: Settings) -> tuple[Pictures, Tensor]:
    """Drawn hands, and what the autoencoder makes of them."""
    drawn = draw_pictures(first_seed, count, INPUT_SIZE, settings.workers)
    return drawn, reconstructed(drawn.pictures, autoencoder)


@torch.no_grad()
def reconstructed(pictures: Tensor, autoencoder: Autoencoder) -> Tensor:
    """What the autoencoder makes of pictures, uint8 [N, 3, S, S] in and out."""
    device = next(autoencoder.parameters()).device
    parts = []
    for part in tqdm(pictures.split(AT_ONCE), desc="reconstructing", unit="batch"):
        with torch.autocast(device.type, torch.bfloat16):
            shown = (part.to(device) / 255).contiguous(memory_format=torch.channels_last)
            seen = autoencoder.decode(autoencoder.encode(shown))
        parts.append(seen.float().clamp(0, 1).mul(255).round().byte().cpu().contiguous())
    return torch.cat(parts)


def train(drawn: Pictures, seen: Tensor, settings: Settings) -> FingerJudge:
    """The judge, trained on pictures and their reconstructions in turn."""
    torch.manual_seed(settings.seed)
    network = FingerJudge().to(device())
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)  # faster on processors
    loop = Loop(network, settings.training, settings.seed, settings.output, "finger_judge")

    def losses(draw: Draw) -> Losses:
        pictures, kinds = _batch(drawn, seen, draw)
        logits = network(pictures.to(loop.device))
        kinds = kinds.to(loop.device)
        right = (logits.argmax(dim=1) == kinds).float().mean()
        return {"loss": functional.cross_entropy(logits.float(), kinds), "accuracy": right}

    return loop.run(losses)


def _batch(drawn: Pictures, seen: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Pictures [N, 3, S, S] in 0..1, a half reconstructed, some blurred or without their hand; and their verdicts."""
    chosen = draw.integers(len(seen))
    half = len(chosen) // 2
    pictures = torch.cat([drawn.pictures[chosen[:half]], seen[chosen[half:]]]) / 255
    kinds = drawn.kinds[chosen].clone()
    empty = draw.uniform() < WITHOUT_HAND
    pictures[empty] = _without_hand(pictures[empty])
    kinds[empty] = NO_HAND
    mirrored = draw.uniform() < 0.5
    pictures[mirrored] = pictures[mirrored].flip(-1)
    blurred = draw.uniform() < 0.3
    pictures[blurred] = functional.avg_pool2d(pictures[blurred], 3, stride=1, padding=1, count_include_pad=False)
    noise = draw.normal(*pictures.shape[1:]) * 0.05 * draw.uniform(1, 1, 1)
    return (pictures + noise).clamp(0, 1).contiguous(memory_format=torch.channels_last), kinds


def _without_hand(pictures: Tensor) -> Tensor:
    """The pictures' outermost columns stretched over all of each: their backgrounds without their hands."""
    left, right = pictures[..., :1], pictures[..., -1:]
    share = torch.linspace(0, 1, pictures.shape[-1])
    top = (left + (right - left) * share)[..., :1, :]
    return top.expand_as(pictures).clone()


def measure(judge: FingerJudge, held_out: Pictures, seen: Tensor) -> dict[str, float]:
    """How often the judge is right about unseen hands, and about their reconstructions."""
    device = next(judge.parameters()).device
    figures = {}
    for name, pictures in (("drawn", held_out.pictures), ("reconstructed", seen)):
        verdicts = torch.cat([judge.verdicts(part.to(device) / 255).cpu() for part in pictures.split(AT_ONCE)])
        truth = is_right(held_out.kinds)
        figures[f"{name}_right_or_not"] = float((is_right(verdicts) == truth).float().mean())
        figures[f"{name}_kind"] = float((verdicts == held_out.kinds).float().mean())
    return figures


if __name__ == "__main__":
    main()
