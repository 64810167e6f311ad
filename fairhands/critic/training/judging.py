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
    """Mean logits of right (or real) and of malformed (or generated) hands, [N] each, in finished pictures.

    Args:
        right, malformed: of pairs; finite.
        kinds: of the malformed ones, [N].
        auc_of_estimates: the area under the curve of hands in estimates; None where there are none.
    """

    right: Tensor
    malformed: Tensor
    kinds: Tensor
    auc_of_estimates: float | None = None

    def figures(self) -> dict[str, Any]:
        """Accuracy, areas under the curve (for each named kind too), and how far calibrated probabilities are off.

        The calibration for the last is fitted on half of the hands and measured on the other half.
        """
        by_kind = {kind: self.malformed[self.kinds == place] for place, kind in enumerate(MALFORMED)}
        return {
            "pairs": len(self.right),
            "accuracy": accuracy(self.right, self.malformed),
            "auc": area_under_curve(self.right, self.malformed),
            "auc_by_kind": {kind: area_under_curve(self.right, some) for kind, some in by_kind.items() if len(some)},
            "auc_of_estimates": self.auc_of_estimates,
            "calibration_error": self._calibration_error(),
        }

    def _calibration_error(self) -> float | None:
        """None where a single pair leaves no other half."""
        if len(self.right) < 2:
            return None
        scale, offset = calibration(self.right[0::2], self.malformed[0::2])
        likely = torch.sigmoid(scale * torch.cat([self.right[1::2], self.malformed[1::2]]) + offset)
        return calibration_error(likely, torch.arange(len(likely)) < len(self.right[1::2]))

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
    kinds = torch.tensor([pairs.kind(pair) for pair in range(len(pairs))])
    estimated = torch.tensor([pairs.is_estimate(pair) for pair in range(len(pairs))])
    if not estimated.any() or estimated.all():
        return Judgement(right, malformed, kinds)
    of_estimates = area_under_curve(right[estimated], malformed[estimated])
    return Judgement(right[~estimated], malformed[~estimated], kinds[~estimated], of_estimates)


def text_of(texts: Tensor | None, places: Sequence[int] | Tensor) -> Tensor | None:
    """The embeddings of pairs' texts, twice each, [2 P, D]: zeros where a pair has none; None without embeddings."""
    if texts is None:
        return None
    none_first = torch.cat([texts.new_zeros(1, texts.shape[1]), texts])
    return none_first[torch.as_tensor(places) - UNKNOWN].repeat_interleave(2, dim=0)
