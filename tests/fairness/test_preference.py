from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairhands.fairness.preference import RewardError, check_reward, load_reward

CPU = torch.device("cpu")
REWARDS = """
import torch

NUMBER = 3


def contrast(pictures, captions):
    assert len(captions) == len(pictures)
    return pictures.std(dim=(1, 2, 3))


def blind(pictures, captions):
    return torch.zeros(len(pictures), requires_grad=True) * 2


def detached(pictures, captions):
    return pictures.detach().mean(dim=(1, 2, 3))


def rounded(pictures, captions):
    return pictures.round().mean(dim=(1, 2, 3))


def whole(pictures, captions):
    return pictures.mean()


def endless(pictures, captions):
    return pictures.mean(dim=(1, 2, 3)) / 0


def failing(pictures, captions):
    raise RuntimeError("no weights here\\nand more")


def listing(pictures, captions):
    return [0.0 for _ in captions]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_rewards.py").write_text(REWARDS)
    (tmp_path / "broken_rewards.py").write_text("import a_package_that_is_missing")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_rewards"


def test_a_reward_is_loaded_by_its_path_and_passes_the_check(module: str) -> None:
    reward = load_reward(f"{module}:contrast")
    assert reward(torch.ones(2, 3, 8, 8), ("", "")).tolist() == [0, 0]
    check_reward(reward, "", 16, CPU)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("contrast", 'should be given as "package.module:function", found "contrast"'),
        ("own_rewards:", 'should be given as "package.module:function"'),
        ("missing_rewards:contrast", "cannot be imported: ModuleNotFoundError: No module named 'missing_rewards'"),
        ("broken_rewards:contrast", "cannot be imported: ModuleNotFoundError: No module named 'a_package"),
        ("own_rewards:other", "cannot be imported: AttributeError"),
        ("own_rewards:NUMBER", "should be a function, found int"),
    ],
)
def test_what_is_no_reward_is_said_in_one_sentence(module: str, path: str, expected: str) -> None:
    with pytest.raises(RewardError, match="the reward ") as refused:
        load_reward(path)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blind", "gives no gradient"),
        ("detached", "gives no gradient"),
        ("rounded", "gives no gradient"),
        ("whole", r"for each of 2 pictures, found shape []"),
        ("endless", "should give a finite number"),
        ("failing", "own_rewards:failing fails: RuntimeError: no weights here"),
        ("listing", "found list"),
    ],
)
def test_a_reward_that_cannot_be_raised_is_refused(module: str, name: str, expected: str) -> None:
    path = f"{module}:{name}"
    with pytest.raises(RewardError, match="the reward ") as refused:
        check_reward(load_reward(path), path, 16, CPU)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_check_works_without_gradients_around_it() -> None:
    def mean(pictures: Tensor, captions: Sequence[str]) -> Tensor:
        return pictures.mean(dim=(1, 2, 3))

    with torch.no_grad():
        check_reward(mean, "", 16, CPU)
