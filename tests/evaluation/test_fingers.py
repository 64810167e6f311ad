"""The shipped judge, on pictures that it was not trained with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fairhands.critic import Critic, CriticConfig
from fairhands.data.mannequin import RIGHT, STUDIO_KINDS
from fairhands.evaluation.fingers import (
    NO_HAND,
    VERDICTS,
    FingerJudge,
    WeightFileError,
    finger_count,
    is_right,
    read,
    write,
)
from fairhands.mannequin_world import file
from fairhands.mannequin_world.pictures import Pictures, draw_pictures

WEIGHTS = Path(__file__).parents[2] / "weights"
UNSEEN_SEED = 9 * 10**12


@pytest.fixture(scope="module")
def judge() -> FingerJudge:
    return read(WEIGHTS / "finger_judge.safetensors")


@pytest.fixture(scope="module")
def unseen() -> Pictures:
    return draw_pictures(UNSEEN_SEED, 300)


def share_right(judge: FingerJudge, pictures: torch.Tensor, kinds: torch.Tensor) -> float:
    return float((is_right(judge.verdicts(pictures)) == is_right(kinds)).float().mean())


def test_the_judge_knows_right_hands_on_unseen_pictures(judge: FingerJudge, unseen: Pictures) -> None:
    assert share_right(judge, unseen.pictures / 255, unseen.kinds) >= 0.98


def test_the_judge_knows_right_hands_after_the_autoencoder(judge: FingerJudge, unseen: Pictures) -> None:
    autoencoder = file.read(WEIGHTS / "checkpoints" / "mannequin_model.safetensors").autoencoder
    with torch.no_grad():
        seen = autoencoder.decode(autoencoder.encode(unseen.pictures[:100] / 255)).clamp(0, 1)
    assert share_right(judge, seen, unseen.kinds[:100]) >= 0.96


def test_pictures_without_a_hand_are_not_right(judge: FingerJudge) -> None:
    colours = torch.rand(20, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    verdicts = judge.verdicts(colours.expand(-1, -1, 128, 128))
    assert not is_right(verdicts).any()


def test_verdicts_stand_for_fingers() -> None:
    counts = [finger_count(verdict) for verdict in range(len(VERDICTS))]
    assert counts[VERDICTS.index(RIGHT)] == 5
    assert counts[VERDICTS.index(NO_HAND)] == 0
    assert VERDICTS[: len(STUDIO_KINDS)] == STUDIO_KINDS


def test_the_judge_is_not_built_as_the_critic_is() -> None:
    critic, judge = Critic(CriticConfig()), FingerJudge()
    assert any(isinstance(module, nn.BatchNorm2d) for module in critic.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in judge.modules())
    names = {name: weight.shape for name, weight in critic.state_dict().items()}
    assert not names.keys() & judge.state_dict().keys()


def test_a_written_judge_is_read_and_other_files_are_refused(tmp_path: Path) -> None:
    first = FingerJudge()
    write(first, tmp_path / "judge.safetensors", {})
    pictures = torch.rand(2, 3, 128, 128)
    again = read(tmp_path / "judge.safetensors")
    assert torch.allclose(first(pictures), again(pictures), atol=1e-2)
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "missing.safetensors"):
        with pytest.raises(WeightFileError, match=f"{name} .*trainers.finger_judge"):
            read(tmp_path / name)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures: expected \[N, 3, 128, 128\], found \[1, 3, 64, 64\]"):
        FingerJudge()(torch.zeros(1, 3, 64, 64))
