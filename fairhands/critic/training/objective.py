"""What a critic's training lowers: the hinge loss, naming malformations, and the gradient penalty R1."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ...training.configuration import Configuration
from ..network import Critic
from .mannequin_pairs import MALFORMED
from .pairs import UNKNOWN


class Objective(Configuration):
    """What counts how much."""

    hinge: Literal["picture", "place"] = Field(
        default="picture",
        description="Hinge loss of each picture's mean logit, which is what guidance uses, or of each place's logit, "
        "as StyleGAN-T has it.",
    )
    kind_weight: float = Field(
        default=3.0,
        ge=0,
        description="Weight of naming the malformation, which helps the backbone to see fingers; only where the data "
        "say what it is.",
    )
    r1: float = Field(
        default=0.0, ge=0, description="Weight of R1: the squared gradient of a real hand's mean logit by its features."
    )


def new_namer(critic: Critic) -> nn.Linear:
    """Names the kind of hand from averaged features: logits of right, then of `MALFORMED`. Not kept in the file."""
    return nn.Linear(sum(critic.backbone.channels), 1 + len(MALFORMED))


def pair_losses(
    critic: Critic, namer: nn.Module, features: list[Tensor], kinds: Tensor, text: Tensor | None, objective: Objective
) -> dict[str, Tensor]:
    """The losses of pairs.

    StyleGAN-T takes the hinge of every logit. Of each picture's mean it is a little better where it was tried
    (held-out accuracy 0.90 against 0.88, one seed each): a place that shows no finger cannot tell five from six.

    Args:
        critic: the discriminator.
        namer: from `new_namer`.
        features: the backbone's, [2 P, channels, positions] each, a pair's right hand before its other one.
        kinds: int [P], the malformed hands' kinds, `UNKNOWN` among them.
        text: [2 P, D], zeros where there is none, or None.
        objective: what counts how much.

    Returns:
        Scalars: `loss`, `hinge`, `accuracy`, and `naming` and `r1` where they count.
    """
    logits = critic.judge(features, text).float()
    means = logits.mean(dim=1).view(-1, 2)
    judged = means[..., None] if objective.hinge == "picture" else logits.view(len(kinds), 2, -1)
    hinge = functional.relu(1 - judged * judged.new_tensor([1.0, -1.0])[:, None]).mean()
    sides = torch.stack([means[:, 0] > 0, means[:, 1] <= 0])
    losses = {"loss": hinge, "hinge": hinge, "accuracy": sides.float().mean()}
    if objective.kind_weight and bool((kinds != UNKNOWN).any()):
        losses["naming"] = naming_loss(namer, features, kinds)
        losses["loss"] = losses["loss"] + objective.kind_weight * losses["naming"]
    if objective.r1:
        losses["r1"] = gradient_penalty(critic, [part[0::2] for part in features], None if text is None else text[0::2])
        losses["loss"] = losses["loss"] + objective.r1 / 2 * losses["r1"]
    return losses


def naming_loss(namer: nn.Module, features: list[Tensor], kinds: Tensor) -> Tensor:
    """The cross-entropy of naming each hand's kind, over the pairs whose kind is known."""
    pooled = torch.cat([part.mean(dim=2) for part in features], dim=1)
    names = torch.stack([torch.zeros_like(kinds), 1 + kinds], dim=1).flatten()
    names = torch.where((kinds == UNKNOWN).repeat_interleave(2), -100, names)
    return functional.cross_entropy(namer(pooled).float(), names, ignore_index=-100)


def gradient_penalty(critic: Critic, features: list[Tensor], text: Tensor | None) -> Tensor:
    """R1 (arXiv 1801.04406, eq. 9) on features: the mean squared length of the mean logit's gradient by them."""
    own = [part.detach().requires_grad_() for part in features]
    logits = critic.judge(own, text).float()
    gradients = torch.autograd.grad(logits.mean(dim=1).sum(), own, create_graph=True)
    return torch.stack([gradient.float().square().flatten(1).sum(dim=1) for gradient in gradients]).sum(dim=0).mean()
