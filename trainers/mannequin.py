"""Train the mannequin model: `python -m trainers.mannequin [--config FILE] [--key value ...]`.

First the autoencoder, then the denoiser on its latents; each goes on where it was stopped. With `--figures true` they
learn persons who raise a hand instead of hands alone.
"""

import hashlib
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from fairhands.data.mannequin import DATA_VERSION, RIGHT, STUDIO_KINDS
from fairhands.mannequin_world import denoiser, file
from fairhands.mannequin_world.autoencoder import Autoencoder
from fairhands.mannequin_world.denoiser import add_noise, new_denoiser, predict
from fairhands.mannequin_world.file import Model
from fairhands.mannequin_world.pictures import FIGURE_SIZE, PICTURE_SIZE, Pictures, draw_pictures
from fairhands.mannequin_world.prompts import HAND, MALFORMED_HAND, NOTHING, PERSON, PROMPTS, RIGHT_HAND, encode
from fairhands.training import checkpoint
from fairhands.training.checkpoint import CheckpointError
from fairhands.training.configuration import Configuration, from_command_line
from fairhands.training.draw import Draw
from fairhands.training.loop import Loop, LoopSettings, Losses
from fairhands.training.processes import device
from fairhands.training.program import stop
from fairhands.training.sheet import write_sheet
from fairhands.weight_files import WeightFileError
from fairhands.whole_files import prepare_folder

PROGRAM = "python -m trainers.mannequin"
PURPOSE = "Train the mannequin model: a small latent diffusion model of drawn hands, for ComfyUI."

CROP = 64  # side of the crops that the autoencoder is trained on; it sees no further than that
SHOWN = 8
ENCODED_AT_ONCE = 8
MODEL_FILE = "mannequin_model.safetensors"


class AutoencoderSettings(LoopSettings):
    """The autoencoder's training."""

    steps: int = Field(default=2200, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=8, ge=1, description="Crops of 64 x 64 pixels looked at in a step.")
    learning_rate: float = Field(default=1e-3, gt=0, description="AdamW's learning rate after the warm-up.")
    warm_up: int = Field(default=50, ge=0, description="Steps in which the learning rate rises from zero.")
    average: float = Field(default=0.99, ge=0, lt=1, description="Decay of the moving average of the weights.")
    latent_noise: float = Field(
        default=0.1,
        ge=0,
        description="Noise on the latents, so that near latents mean near pictures and the decoder forgives errors.",
    )
    moment_weight: float = Field(
        default=0.02, ge=0, description="Weight of holding each latent channel at mean 0 and variance 1."
    )


class DenoiserSettings(LoopSettings):
    """The denoiser's training."""

    steps: int = Field(default=6000, ge=1, description="How often the weights are changed.")
    batch: int = Field(default=64, ge=1, description="Latents looked at in a step.")
    learning_rate: float = Field(default=1e-3, gt=0, description="AdamW's learning rate after the warm-up.")
    level_mean: float = Field(
        default=0.3, description="Mean of the noise levels' logit; they are drawn from a logit-normal distribution."
    )
    level_deviation: float = Field(default=1.0, gt=0, description="Standard deviation of the noise levels' logit.")
    unprompted: float = Field(
        default=0.1, ge=0, le=1, description="Share of latents seen without a prompt, for classifier-free guidance."
    )
    specific: float = Field(
        default=0.5, ge=0, le=1, description="Share of the prompts that say right or malformed, not just hand."
    )


class Settings(Configuration):
    """What can be chosen about a training."""

    output: Path = Field(
        default=Path("mannequin"), description="Folder for the model, checkpoints, logs and sample sheets."
    )
    seed: int = Field(default=0, ge=0, lt=10**6, description="The same seed gives the same training.")
    start_from: Path | None = Field(
        default=None, description="A mannequin model to improve: its denoiser is trained on."
    )
    keep: Literal["autoencoder", "encoder"] = Field(
        default="autoencoder",
        description="With start_from, what stays as it is: the autoencoder, or its encoder alone, so that the decoder "
        "learns other pictures while latents mean what the denoiser knows.",
    )
    figures: bool = Field(
        default=False, description=f"Persons who raise a hand, {FIGURE_SIZE} pixels, instead of hands alone."
    )
    pictures: int = Field(default=16000, ge=1, lt=10**6, description="Drawn pictures to learn from.")
    right: float = Field(default=0.5, ge=0, le=1, description="Share of the drawn hands that are right.")
    workers: int = Field(default=2, ge=0, description="Processes that draw; 0 draws in the program itself.")
    autoencoder: AutoencoderSettings = Field(default=AutoencoderSettings(), description="The autoencoder's training.")
    denoiser: DenoiserSettings = Field(default=DenoiserSettings(), description="The denoiser's training.")


def main() -> None:
    settings = from_command_line(Settings, PROGRAM, PURPOSE)
    try:
        base = file.read(settings.start_from) if settings.start_from else None
        prepare_folder(settings.output / MODEL_FILE)
        drawn = _drawn(settings)
        autoencoder = base.autoencoder.to(device()) if base else None
        if autoencoder is None or settings.keep == "encoder":
            autoencoder = train_autoencoder(drawn.pictures, settings, autoencoder)
        latents = _encoded(drawn.pictures, autoencoder, settings)
        torch.manual_seed(settings.seed)
        network = base.denoiser if base else new_denoiser(latents.shape[-1])
        trained = train_denoiser(network, latents, drawn.kinds, autoencoder, settings)
        file.write(settings.output / MODEL_FILE, trained, autoencoder, _made_by(settings, base))
    except KeyboardInterrupt:
        stop(PROGRAM, 130, f"stopped; the same command goes on from the last checkpoint in {settings.output}")
    except (CheckpointError, WeightFileError, OSError) as error:
        stop(PROGRAM, 1, error)


def _drawn(settings: Settings) -> Pictures:
    """The training pictures, drawn once and kept beside the checkpoints."""
    first_seed = settings.seed * 10**6
    size = FIGURE_SIZE if settings.figures else PICTURE_SIZE
    what = ", figures" if settings.figures else ""
    right = "" if settings.right == 0.5 else f", {settings.right:.0%} right"
    made_of = f"data {DATA_VERSION}, {settings.pictures} from seed {first_seed}, {size} px{what}{right}"

    def make() -> dict[str, Tensor]:
        count, workers = settings.pictures, settings.workers
        drawn = draw_pictures(first_seed, count, size, workers, body=settings.figures, right=settings.right)
        return drawn._asdict()

    return Pictures(**checkpoint.cached(settings.output / "pictures.pt", made_of, make))


def train_autoencoder(pictures: Tensor, settings: Settings, base: Autoencoder | None = None) -> Autoencoder:
    """The autoencoder, trained on random crops of the pictures: a new one, or the decoder of `base` trained on."""
    torch.manual_seed(settings.seed)
    network = base or Autoencoder().to(device())
    network.taesd_encoder.requires_grad_(base is None)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)  # faster on processors
    loop = Loop(network, settings.autoencoder, settings.seed, settings.output, "autoencoder")
    shown = (pictures[:SHOWN] / 255).to(loop.device)

    def losses(draw: Draw) -> Losses:
        crops = _crops(pictures, draw).to(loop.device)
        latents = network.encode(crops)
        noise = draw.normal(*latents.shape[1:]).to(latents)
        seen = network.decode(latents + settings.autoencoder.latent_noise * noise)
        return reconstruction_losses(crops, latents.float(), seen.float(), settings.autoencoder.moment_weight)

    @torch.no_grad()
    def sample(step: int) -> None:
        with loop.averaged.in_place():
            seen = network.decode(network.encode(shown))
        write_sheet(settings.output / "samples" / f"autoencoder_{step:06}.png", torch.cat([shown, seen]), len(shown))

    return loop.run(losses, sample)


def _crops(pictures: Tensor, draw: Draw) -> Tensor:
    """Random crops [batch, 3, 64, 64] in 0..1, at any pixel."""
    chosen = draw.integers(len(pictures))
    corners = draw.integers(pictures.shape[-1] - CROP + 1, 2)
    crops = [
        pictures[number, :, top : top + CROP, left : left + CROP]
        for number, (top, left) in zip(chosen.tolist(), corners.tolist(), strict=True)
    ]
    return (torch.stack(crops) / 255).contiguous(memory_format=torch.channels_last)


def reconstruction_losses(pictures: Tensor, latents: Tensor, seen: Tensor, moment_weight: float) -> Losses:
    """What the autoencoder lowers: the error of pixels and of their differences, and the latents' drift.

    Args:
        pictures: [N, 3, H, W] in 0..1.
        latents: what they were encoded to, [N, C, h, w].
        seen: what those were decoded to, [N, 3, H, W].
        moment_weight: of the squared mean, and squared distance of the deviation from 1, of the channels.
    """
    pixels = functional.l1_loss(seen, pictures)
    edges = functional.l1_loss(seen.diff(dim=2), pictures.diff(dim=2))
    edges = edges + functional.l1_loss(seen.diff(dim=3), pictures.diff(dim=3))
    deviation, mean = torch.std_mean(latents, dim=(0, 2, 3))
    moments = (mean.square() + (deviation - 1).square()).mean()
    psnr = -10 * functional.mse_loss(seen, pictures).detach().log10()
    return {"loss": pixels + edges + moment_weight * moments, "pixels": pixels, "moments": moments, "psnr": psnr}


def _encoded(pictures: Tensor, autoencoder: Autoencoder, settings: Settings) -> Tensor:
    """The latents of all pictures, float32 [N, 16, h, w], encoded once and kept beside the checkpoints."""
    digest = hashlib.sha256()
    for weight in autoencoder.taesd_encoder.state_dict().values():
        digest.update(weight.cpu().numpy().tobytes())
    made_of = f"{len(pictures)} pictures, encoder {digest.hexdigest()}"
    file = settings.output / "latents.pt"
    return checkpoint.cached(file, made_of, lambda: {"latents": _encode(pictures, autoencoder)})["latents"]


@torch.no_grad()
def _encode(pictures: Tensor, autoencoder: Autoencoder) -> Tensor:
    device = next(autoencoder.parameters()).device
    parts = []
    for part in tqdm(pictures.split(ENCODED_AT_ONCE), desc="encoding pictures", unit="batch"):
        with torch.autocast(device.type, torch.bfloat16):
            shown = (part.to(device) / 255).contiguous(memory_format=torch.channels_last)
            parts.append(autoencoder.encode(shown).float().cpu().contiguous())
    return torch.cat(parts)


def train_denoiser(
    network: SD3Transformer2DModel, latents: Tensor, kinds: Tensor, autoencoder: Autoencoder, settings: Settings
) -> SD3Transformer2DModel:
    """The denoiser, trained by flow matching on the latents."""
    nn.Module.to(network, device())
    loop = Loop(network, settings.denoiser, settings.seed, settings.output, "denoiser")
    prompts = (PERSON,) if settings.figures else PROMPTS
    shown_prompts = torch.stack([encode(prompt) for prompt in prompts for _ in range(SHOWN)]).to(loop.device)
    shown_noise = torch.randn(SHOWN, *latents.shape[1:], generator=torch.Generator().manual_seed(settings.seed))
    shown_noise = shown_noise.repeat(len(prompts), 1, 1, 1).to(loop.device)

    def losses(draw: Draw) -> Losses:
        chosen = draw.integers(len(latents))
        asked = _prompts(kinds[chosen], settings, draw).to(loop.device)
        clean = latents[chosen]
        noise = draw.normal(*clean.shape[1:])
        logits = draw.normal()
        levels = torch.sigmoid(settings.denoiser.level_mean + settings.denoiser.level_deviation * logits)
        clean, noise, levels = clean.to(loop.device), noise.to(loop.device), levels.to(loop.device)
        with _attention(loop.device):
            direction = predict(network, add_noise(clean, noise, levels), levels, asked)
        return {"loss": functional.mse_loss(direction.float(), noise - clean)}

    @torch.no_grad()
    def sample(step: int) -> None:
        with loop.averaged.in_place():
            drawn = denoiser.sample(network, shown_noise, shown_prompts)
        write_sheet(settings.output / "samples" / f"denoiser_{step:06}.png", autoencoder.decode(drawn), SHOWN)

    return loop.run(losses, sample)


def _attention(device: torch.device) -> AbstractContextManager[object]:
    """On processors the gradient of plain attention is far faster than that of the fused one (a step by 1.4)."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _prompts(kinds: Tensor, settings: Settings, draw: Draw) -> Tensor:
    """A prompt's vector for each kind of hand [N]: what it is, just `hand`, or nothing; of figures, `person`."""
    table = torch.stack([encode(prompt) for prompt in (NOTHING, HAND, RIGHT_HAND, MALFORMED_HAND, PERSON)])
    unprompted, specific = draw.uniform(), draw.uniform()
    known = torch.where(kinds == STUDIO_KINDS.index(RIGHT), 2, 3)
    named = torch.where(specific < settings.denoiser.specific, known, 1)
    if settings.figures:
        named = torch.full_like(named, 4)
    return table[torch.where(unprompted < settings.denoiser.unprompted, 0, named)]


def _made_by(settings: Settings, base: Model | None) -> dict[str, Any]:
    started_from = {"started_from": base.made_by} if base else {}
    what = "figures" if settings.figures else "hands"
    return {
        "command": f"{PROGRAM} {' '.join(sys.argv[1:])}".rstrip(),
        "seed": settings.seed,
        "data": f"{settings.pictures} studio pictures of mannequin {what}, drawn from seed {settings.seed * 10**6} on",
        "data_version": DATA_VERSION,
        "settings": settings.model_dump(mode="json", exclude={"output", "start_from"}),
        "torch": torch.__version__,
        **started_from,
    }


if __name__ == "__main__":
    main()
