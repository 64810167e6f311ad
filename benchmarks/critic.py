"""A training step and a guidance gradient of the full discriminator: ViT-S/16 with random weights, 224 px."""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.config import Transformer
from fairhands.critic.training.augmentation import Augmentation, augment
from fairhands.critic.training.objective import Objective, new_namer, pair_losses
from fairhands.critic.training.pairs import UNKNOWN
from fairhands.training.draw import draw_of

from .pairs import interleave, timed

VIT_S_16 = {
    "model_type": "vit",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "image_size": 224,
    "patch_size": 16,
}
TEXT = 768  # numbers of CLIP-L's embedding
PAIRS = 5
STEPS = 3  # in a measurement
BATCHES = {"cuda": 32, "cpu": 4}  # pairs of crops


def run() -> dict[str, float]:
    """Crops a second in training, with and without cached features, and in guidance."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    critic = Critic(CriticConfig("vit", 224, text_dimension=TEXT, transformer=Transformer("random", VIT_S_16)))
    critic = critic.to(device).train()
    pairs = torch.randint(256, (BATCHES[device.type], 2, 3, 224, 224), dtype=torch.uint8).to(device)
    text = torch.randn(2 * len(pairs), TEXT, device=device)
    cached = [part.detach() for part in critic.features(pairs.flatten(0, 1) / 255)]
    step = _training(critic, text)
    seconds = interleave(
        timed(lambda: step(_looked_at(critic, pairs)), STEPS), timed(lambda: step(cached), STEPS), PAIRS
    )
    crops = 2 * len(pairs) * STEPS
    one = torch.rand(1, 3, 224, 224, device=device)
    guiding = [timed(lambda: _gradient(critic, one, text[:1]), STEPS)() for _ in range(PAIRS + 1)][1:]
    return {
        "critic_training_crops_per_second": round(crops / statistics.median(seconds.ours), 2),
        "critic_training_crops_per_second_cached": round(crops / statistics.median(seconds.baseline), 2),
        **seconds.figures("critic_training_ratio_uncached"),
        "critic_guidance_crops_per_second": round(STEPS / statistics.median(guiding), 2),
    }


def _looked_at(critic: Critic, pairs: Tensor) -> list[Tensor]:
    """The features of augmented crops, as training computes them: without gradient through the frozen backbone."""
    with torch.no_grad(), torch.autocast(pairs.device.type, torch.bfloat16):
        return critic.features(augment(pairs / 255, Augmentation(), draw_of(0, 0, len(pairs))).flatten(0, 1))


def _training(critic: Critic, text: Tensor) -> Callable[[list[Tensor]], None]:
    """A training step from features on."""
    namer = new_namer(critic).to(text.device)
    adam = torch.optim.AdamW([weight for weight in critic.parameters() if weight.requires_grad], 2e-3, fused=True)
    kinds = torch.full((len(text) // 2,), UNKNOWN, device=text.device)

    def step(features: list[Tensor]) -> None:
        adam.zero_grad()
        with torch.autocast(text.device.type, torch.bfloat16):
            loss = pair_losses(critic, namer, features, kinds, text, Objective())["loss"]
        loss.backward()
        adam.step()

    return step


def _gradient(critic: Critic, picture: Tensor, text: Tensor) -> None:
    """What visual guidance asks of a critic."""
    shown = picture.clone().requires_grad_()
    torch.autograd.grad(critic.loss(critic(shown, text)).sum(), shown)
