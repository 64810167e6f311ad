"""A reward of pictures, such as a model of people's preferences, as one more objective."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

import torch
from torch import Tensor

Reward = Callable[[Tensor, Sequence[str]], Tensor]
"""Gives each picture, float [N, 3, H, W] in 0..1, with its caption a number, [N]: more is better. It is differentiable
by the pictures, does all on their device, and brings them to the size that it needs itself."""


class RewardError(ValueError):
    """A reward that cannot be used; its text says why."""


def load_reward(path: str) -> Reward:
    """The function that an import path names.

    Args:
        path: "package.module:function"; the module lies in the current folder or is installed.

    Raises:
        RewardError: there is none.
    """
    place, _, name = path.partition(":")
    if not place or not name:
        raise RewardError(f'the reward should be given as "package.module:function", found "{path}"')
    try:
        found = getattr(import_module(place), name)
    except Exception as error:  # whatever the module does as it is imported
        raise RewardError(f"the reward {path} cannot be imported: {_in_words(error)}") from error
    if not callable(found):
        raise RewardError(f"the reward {path} should be a function, found {type(found).__name__}")
    return cast(Reward, found)


def check_reward(reward: Reward, path: str, side: int, device: torch.device) -> None:
    """Ask a reward about two pictures of noise, to know before the training what it gives.

    Args:
        reward: what is asked.
        path: how it was given, for messages.
        side: of the pictures, in pixels.
        device: where they are.

    Raises:
        RewardError: it fails, gives something else than [N] finite numbers, or has no gradient by the pictures.
    """
    noise = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    pictures = noise.to(device).requires_grad_()
    try:
        with torch.enable_grad():
            rewards = reward(pictures, ("a person waves", ""))
    except Exception as error:  # whatever the function of someone else raises
        raise RewardError(f"the reward {path} fails: {_in_words(error)}") from error
    if not isinstance(rewards, Tensor) or rewards.shape != (2,) or not rewards.isfinite().all():
        found = f"shape {list(rewards.shape)}" if isinstance(rewards, Tensor) else type(rewards).__name__
        raise RewardError(f"the reward {path} should give a finite number for each of 2 pictures, found {found}")
    gradient = None
    if rewards.requires_grad:
        gradient = torch.autograd.grad(rewards, pictures, torch.ones_like(rewards), allow_unused=True)[0]
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        raise RewardError(
            f"the reward {path} gives no gradient: it should be computed from the pictures with PyTorch, without "
            "no_grad, detach or rounding"
        )


def _in_words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
