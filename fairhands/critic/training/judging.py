"""A critic's judgement of many held-out hands, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..network import Critic
from .mannequin_pairs import MALFORMED
from .measures import accuracy, area_under_curve, calibration, calibration_error
from .pairs import UNKNOWN, Pairs

AT_ONCE = 32


@dataclass(frozen=True)
class Judgement:
    """Mean logits of right (or real) and of malformed (or generated) hands, [N] each; the latter's kinds [N]."""

    right: Tensor
    malformed: Tensor
    kinds: Tensor

    def figures(self) -> dict[str, Any]:
        """Accuracy, area under the curve (for each named kind too), and how far calibrated probabilities are off.

        The calibration for the last is fitted on half of the hands and measured on the other half.
        """
        by_kind = {kind: self.malformed[self.kinds == place] for place, kind in enumerate(MALFORMED)}
        scale, offset = calibration(self.right[0::2], self.malformed[0::2])
        likely = torch.sigmoid(scale * torch.cat([self.right[1::2], self.malformed[1::2]]) + offset)
        truth = torch.arange(len(likely)) < len(self.right[1::2])
        return {
            "pairs": len(self.right),
            "accuracy": accuracy(self.right, self.malformed),
            "auc": area_under_curve(self.right, self.malformed),
            "auc_by_kind": {kind: area_under_curve(self.right, some) for kind, some in by_kind.items() if len(some)},
            "calibration_error": calibration_error(likely, truth),
        }

    def calibration(self) -> tuple[float, float]:
        """Scale and offset that make probabilities of mean logits, from all hands."""
        return calibration(self.right, self.malformed)


@torch.no_grad()
def judge(critic: Critic, pairs: Pairs, texts: Tensor | None = None) -> Judgement:
    """What a critic says of each pair of `pairs`, in evaluation mode.

    Args:
        critic: on any device.
        pairs: held out from its training; the first of several right or malformed hands is taken.
        texts: embeddings of `pairs.texts`, [T, D], or None.
    """
    device = next(critic.parameters()).device
    logits = []
    for start in range(0, len(pairs), AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, len(pairs)))
        crops = [pairs.crop(row) for pair in numbers for row in pairs.rows(pair, 0)]
        text = text_of(texts, [pairs.text(pair) for pair in numbers])
        logits.append(critic(torch.stack(crops).to(device) / 255, text).float().mean(dim=1).cpu())
    right, malformed = torch.cat(logits).view(-1, 2).unbind(dim=1)
    return Judgement(right, malformed, torch.tensor([pairs.kind(pair) for pair in range(len(pairs))]))


def text_of(texts: Tensor | None, places: Sequence[int] | Tensor) -> Tensor | None:
    """The embeddings of pairs' texts, twice each, [2 P, D]: zeros where a pair has none; None without embeddings."""
    if texts is None:
        return None
    chosen = torch.as_tensor(places)
    found = texts[chosen.clamp(min=0)] * (chosen != UNKNOWN)[:, None]
    return found.repeat_interleave(2, dim=0)
