"""The gradient is followed in the mannequin model's latents, with the shipped critic and judge."""

from pathlib import Path

import pytest
import torch

from fairhands.base_models import BaseModel
from fairhands.base_models.loading import load as load_base
from fairhands.critic import Critic, load
from fairhands.critic.training.gradient_check import check_gradient, finger_judge, follow, own_score
from fairhands.data.mannequin import draw
from fairhands.evaluation import fingers

WEIGHTS = Path(__file__).parents[3] / "weights"


@pytest.fixture(scope="module")
def critic() -> Critic:
    return load(WEIGHTS / "hand_discriminators" / "studio_critic.safetensors")[0]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return load_base(WEIGHTS / "checkpoints" / "mannequin_model.safetensors", "cpu", torch.float32)


def hand(seed: int, kind: str) -> tuple[torch.Tensor, tuple[float, float, float, float]]:
    scene = draw(8 * 10**12 + seed, 128, kind=kind, studio=True)
    return torch.from_numpy(scene.picture).permute(2, 0, 1) / 255, scene.boxes[0]


def test_following_the_gradient_raises_the_critics_score_and_changes_nothing_without_weight(
    critic: Critic, base: BaseModel
) -> None:
    picture, box = hand(0, "four_fingers")
    before = base.decode(base.encode(picture[None]))[0].clamp(0, 1)
    torch.testing.assert_close(follow(critic, picture, box, base, weight=0.0), before, atol=1e-5, rtol=0)
    after = follow(critic, picture, box, base)
    assert own_score(critic, after, box) > own_score(critic, before, box) + 0.5


def test_both_judges_are_asked_before_and_after(critic: Critic, base: BaseModel) -> None:
    judge = finger_judge(fingers.read(WEIGHTS / "finger_judge.safetensors"))
    check = check_gradient(critic, [hand(1, "fused"), hand(2, "fused")], base, judge)
    assert check.pictures == 2
    assert check.own_after > check.own_before
    assert 0 <= check.other_before <= 1
    assert check.other_after != check.other_before
    right, _ = hand(3, "right")
    wrong, _ = hand(3, "six_fingers")
    assert judge(right) > 0.5 > judge(wrong)
