import pytest
import torch

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.training.mannequin_pairs import MALFORMED
from fairhands.critic.training.objective import Objective, gradient_penalty, new_namer, pair_losses
from fairhands.critic.training.pairs import UNKNOWN


@pytest.fixture
def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(CriticConfig(input_size=16, widths=(4, 8))).eval()


def features(critic: Critic, pairs: int = 3) -> list[torch.Tensor]:
    pictures = torch.rand(2 * pairs, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return [part.detach() for part in critic.features(pictures)]


def losses(critic: Critic, kinds: torch.Tensor, **objective) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    seen = features(critic, len(kinds))
    return pair_losses(critic, new_namer(critic), seen, kinds, None, Objective(**objective))


def test_the_hinge_is_that_of_mean_logits_or_of_each_logit(critic: Critic) -> None:
    logits = critic.judge(features(critic))
    signs = torch.tensor([1.0, -1.0]).repeat(3)
    by_picture = losses(critic, torch.zeros(3, dtype=torch.int64), kind_weight=0.0)
    torch.testing.assert_close(by_picture["loss"], (1 - logits.mean(dim=1) * signs).relu().mean())
    by_place = losses(critic, torch.zeros(3, dtype=torch.int64), kind_weight=0.0, hinge="place")
    torch.testing.assert_close(by_place["loss"], (1 - logits * signs[:, None]).relu().mean())
    assert not torch.allclose(by_picture["loss"], by_place["loss"])


def test_pairs_of_unknown_kind_do_not_count_in_naming(critic: Critic) -> None:
    known = losses(critic, torch.tensor([1, UNKNOWN, UNKNOWN]))
    assert known["loss"] > known["hinge"]
    only_known = features(critic)
    torch.manual_seed(2)
    namer = new_namer(critic)
    pooled = torch.cat([part.mean(dim=2) for part in only_known], dim=1)[:2]
    wanted = torch.nn.functional.cross_entropy(namer(pooled), torch.tensor([0, 2]))
    torch.testing.assert_close(known["naming"], wanted)
    unknown = losses(critic, torch.full((3,), UNKNOWN))
    assert "naming" not in unknown
    torch.testing.assert_close(unknown["loss"], unknown["hinge"])


def test_the_namer_knows_right_hands_and_all_kinds(critic: Critic) -> None:
    assert new_namer(critic).out_features == 1 + len(MALFORMED)


def test_the_gradient_penalty_is_the_mean_squared_gradient_of_the_mean_logit(critic: Critic) -> None:
    critic = critic.double()
    seen = [part.double() for part in features(critic.float())]
    critic = critic.double()
    penalty = gradient_penalty(critic, seen, None)
    flat = torch.cat([part.flatten(1) for part in seen], dim=1)

    def mean_logits(values: torch.Tensor) -> torch.Tensor:
        parts = values.split([part[0].numel() for part in seen], dim=1)
        return critic.judge([part.view_as(one) for part, one in zip(parts, seen, strict=True)]).mean(dim=1).sum()

    gradient = torch.autograd.functional.jacobian(mean_logits, flat)
    torch.testing.assert_close(penalty.double(), gradient.square().sum(dim=1).mean(), rtol=1e-4, atol=0)


def test_the_gradient_penalty_trains_the_heads(critic: Critic) -> None:
    found = losses(critic, torch.full((3,), UNKNOWN), r1=10.0)
    torch.testing.assert_close(found["loss"], found["hinge"] + 5 * found["r1"])
    found["r1"].backward()
    assert all(weight.grad is not None for name, weight in critic.heads[0].named_parameters() if "original" in name)
