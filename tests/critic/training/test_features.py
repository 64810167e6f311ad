from pathlib import Path

import pytest
import torch

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.training import features
from fairhands.critic.training.features import cached_features
from fairhands.critic.training.pairs import DrawnPairs


class FourMaps(torch.nn.Module):
    """A frozen backbone whose maps are of one shape."""

    channels = (3, 3)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        return [pictures.flatten(2), 1 - pictures.flatten(2)]


@pytest.fixture
def critic() -> Critic:
    critic = Critic(CriticConfig(input_size=4, widths=(4, 8)))
    critic.backbone = FourMaps()
    return critic


def pairs(count: int, seed: int = 0) -> DrawnPairs:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 2, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return DrawnPairs(pixels, torch.zeros(count, dtype=torch.int64))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The rows whose features were computed."""
    seen: list[range] = []
    compute = features._features
    monkeypatch.setattr(
        features, "_features", lambda critic, some, rows: (seen.append(rows), compute(critic, some, rows))[1]
    )
    return seen


def test_the_features_are_computed_once_and_read_from_the_file_then(critic: Critic, tmp_path: Path, looks) -> None:
    some = pairs(40)
    for run in range(2):
        looks.clear()
        kept = cached_features(critic, some, tmp_path)
        assert kept.shape == (80, 2, 3, 16)
        wanted = torch.stack(critic.features(some.pairs.flatten(0, 1) / 255), dim=1).half()
        assert torch.equal(kept, wanted)
        assert looks == [range(1), *([range(64), range(64, 80)] if run == 0 else [])]


def test_other_pictures_or_another_number_are_computed_anew(critic: Critic, tmp_path: Path) -> None:
    for some in (pairs(40), pairs(40, seed=1), pairs(3, seed=1)):
        kept = cached_features(critic, some, tmp_path)
        assert torch.equal(kept, torch.stack(critic.features(some.pairs.flatten(0, 1) / 255), dim=1).half())


def test_where_the_disk_is_full_nothing_is_left_and_the_next_run_begins_anew(
    critic: Critic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = features._features

    def full(critic: Critic, some: DrawnPairs, rows: range) -> torch.Tensor:
        if rows.start == 64:
            raise OSError(28, "No space left on device")
        return compute(critic, some, rows)

    monkeypatch.setattr(features, "_features", full)
    with pytest.raises(OSError, match="No space left"):
        cached_features(critic, pairs(40), tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(features, "_features", compute)
    assert cached_features(critic, pairs(40), tmp_path).shape[0] == 80
