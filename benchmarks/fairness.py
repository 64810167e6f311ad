"""A step of Minimum Potential Delay against a plain step and against flattening all gradients: a transformer's LoRA."""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from diffusers.models.attention import BasicTransformerBlock
from peft import LoraConfig, inject_adapter_in_model
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fairhands.fairness.step import FairBackward
from fairhands.fairness.strategies import new_strategy
from fairhands.training.backward import Backward, Losses

from .memory import peak_bytes
from .pairs import Pairs, interleave, timed

OBJECTIVES = ("global", "hand", "face")
BLOCKS, HEADS, TOKENS, WORDS = 4, 8, 64, 77
WIDTH = {"cuda": 1280, "cpu": 512}
RANK = 128
PAIRS, REFRESH_EVERY = 9, 4

Step = Callable[[], None]


def run() -> dict[str, float]:
    """Ratios of seconds, and copies of the gradient beyond a plain step's."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain, fair = _step(device, Backward), _step(device, _fair())
    together = _step(device, _fair(batched=True))
    refreshed = _step(device, _fair(refresh_every=REFRESH_EVERY))
    flattened = _step(device, _Flattened)
    kept = _step(device, Backward, checkpointing=True)
    batched = _step(device, _fair(batched=True), checkpointing=True)
    size, least = _gradient_bytes(device), _peak(plain, device)
    copies = (_peak(fair, device) - least) / size
    flattened_copies = (_peak(flattened, device) - least) / size
    batched_copies = (_peak(batched, device) - _peak(kept, device)) / size
    return {
        **_compare(fair, plain).figures("mpd_step_ratio"),
        **_compare(together, plain).figures("mpd_step_ratio_batched"),
        **_compare(batched, kept).figures("mpd_step_ratio_checkpointed"),
        **_compare(refreshed, plain, REFRESH_EVERY).figures("mpd_step_ratio_refresh4"),
        **_compare(fair, flattened).figures("mpd_step_ratio_to_flattened"),
        "mpd_extra_gradient_copies": round(copies, 3),
        "mpd_extra_gradient_copies_checkpointed": round(batched_copies, 3),
        "mpd_extra_gradient_copies_flattened": round(flattened_copies, 3),
        "mpd_extra_memory_ratio_to_flattened": round(copies / flattened_copies, 4),
    }


class _Denoiser(nn.Module):
    """Transformer blocks with a LoRA on their attention layers; nothing else is trained."""

    def __init__(self, width: int, checkpointing: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [BasicTransformerBlock(width, HEADS, width // HEADS, cross_attention_dim=width) for _ in range(BLOCKS)]
        )
        layers = ["to_q", "to_k", "to_v", "to_out.0"]
        inject_adapter_in_model(LoraConfig(r=RANK, target_modules=layers, init_lora_weights=False), self)
        self.checkpointing = checkpointing

    def forward(self, noised: Tensor, words: Tensor) -> Tensor:
        for block in self.blocks:
            call = partial(block, encoder_hidden_states=words)
            noised = cast(Tensor, checkpoint(call, noised, use_reentrant=False) if self.checkpointing else call(noised))
        return noised


class _Flattened(Backward):
    """The usual way: each gradient copied into a column of one matrix, a general solver, the result copied back."""

    def add(self, losses: Losses, share: float) -> None:
        sizes = [weight.numel() for weight in self._trained]
        jacobian = torch.zeros(sum(sizes), len(OBJECTIVES), device=self._trained[0].device)
        for column, name in enumerate(OBJECTIVES):
            (losses[name] * share).backward(retain_graph=name != OBJECTIVES[-1])
            for weight, part in zip(self._trained, jacobian[:, column].split(sizes), strict=True):
                part.copy_(cast(Tensor, weight.grad).flatten())
                weight.grad = None
        gram = (jacobian.T @ jacobian).cpu().double().numpy()
        solved = least_squares(lambda w: gram @ w - w**-0.5, [1 / len(gram)] * len(gram), bounds=(0, float("inf")))
        combined = (jacobian * torch.from_numpy(solved.x).to(jacobian)).sum(dim=1)
        for weight, part in zip(self._trained, combined.split(sizes), strict=True):
            weight.grad = part.view_as(weight).clone()

    def finish(self) -> Losses:
        return {}


def _fair(refresh_every: int = 1, batched: bool = False) -> Callable[[list[nn.Parameter]], Backward]:
    def new(weights: list[nn.Parameter]) -> Backward:
        strategy = new_strategy("mpd", len(OBJECTIVES))
        return FairBackward(weights, OBJECTIVES, strategy, refresh_every, batched)

    return new


def _trained(of: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in of.parameters() if weight.requires_grad]


def _gradient_bytes(device: torch.device) -> int:
    return sum(weight.nbytes for weight in _trained(_Denoiser(WIDTH[device.type], False)))


def _step(
    device: torch.device, backward: Callable[[list[nn.Parameter]], Backward], checkpointing: bool = False
) -> Step:
    """A training step with that way backward, on a network of its own."""
    torch.manual_seed(0)
    width = WIDTH[device.type]
    network = _Denoiser(width, checkpointing).to(device)
    noised, words, target = (torch.randn(1, count, width, device=device) for count in (TOKENS, WORDS, TOKENS))
    optimiser = torch.optim.AdamW(_trained(network), 1e-5, fused=True)
    way = backward(_trained(network))

    def step() -> None:
        optimiser.zero_grad()
        error = (network(noised, words) - target).square()
        hand, face = error[:, : TOKENS // 16].mean(), error[:, -TOKENS // 8 :].mean()
        way.add({"loss": error.mean(), "global": error.mean(), "hand": hand, "face": face}, 1.0)
        way.finish()
        nn.utils.clip_grad_norm_(_trained(network), 1.0)
        optimiser.step()

    return step


def _compare(ours: Step, baseline: Step, steps: int = 1) -> Pairs:
    return interleave(timed(ours, steps), timed(baseline, steps), PAIRS)


def _peak(step: Step, device: torch.device) -> int:
    """Of a step that is not the first, when the optimiser has its state."""
    step()
    return peak_bytes(step, device)
