import pytest
import torch

from fairhands.critic.training.augmentation import Augmentation, augment
from fairhands.training.draw import draw_of

OFF = {name: 0.0 for name in Augmentation.model_fields}


def pairs(count: int = 6, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 1, 3, side, side, generator=torch.Generator().manual_seed(0)).repeat(1, 2, 1, 1, 1)


def changed(values: torch.Tensor, **how: float) -> torch.Tensor:
    return augment(values, Augmentation(**{**OFF, **how}), draw_of(0, 0, len(values)))


def test_pairs_are_changed_alike_the_same_way_for_a_draw_and_stay_in_range() -> None:
    scene = pairs()
    first, second = (augment(scene, Augmentation(cutout=0.2), draw_of(0, 0, 6)) for _ in range(2))
    assert first.shape == scene.shape
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(first, second)
    assert not torch.equal(first, scene)
    assert not torch.equal(first, augment(scene, Augmentation(cutout=0.2), draw_of(0, 1, 6)))


def test_turned_off_it_leaves_pictures_as_they_are() -> None:
    assert Augmentation(**OFF).is_off
    assert Augmentation(**{**OFF, "noise": 0.1}).is_off
    assert changed(pairs()) is not None
    assert torch.equal(changed(pairs()), pairs())
    assert not Augmentation().is_off


def test_two_processes_change_what_one_would() -> None:
    scene, how = pairs(8), Augmentation(cutout=0.3)
    whole = augment(scene, how, draw_of(3, 5, 8))
    parts = [augment(scene[4 * part : 4 * part + 4], how, draw_of(3, 5, 4, part, 2)) for part in range(2)]
    torch.testing.assert_close(torch.cat(parts), whole)


@pytest.mark.parametrize("name", ["turn", "zoom", "shift", "brightness", "contrast", "saturation", "cutout", "blurred"])
def test_each_change_changes_something_by_itself(name: str) -> None:
    assert not torch.allclose(changed(pairs(), **{name: 0.3 if name != "blurred" else 1.0}), pairs())


def test_mirrored_pictures_are_mirror_images() -> None:
    torch.testing.assert_close(changed(pairs(), mirrored=1.0), pairs().flip(-1), atol=1e-4, rtol=0)


def test_a_shift_moves_by_at_most_its_share_of_the_side() -> None:
    dot = torch.zeros(64, 2, 3, 32, 32)
    dot[..., 16, 16] = 1
    places = changed(dot, shift=0.25)[:, 0, 0].flatten(1).argmax(dim=1)
    moved = torch.stack([places // 32 - 16, places % 32 - 16]).abs()
    assert moved.max() <= 9
    assert moved.float().mean() > 2


def test_saturation_keeps_grey_grey_and_contrast_keeps_the_middle() -> None:
    grey = torch.full((4, 2, 3, 8, 8), 0.3)
    torch.testing.assert_close(changed(grey, saturation=1.0), grey)
    middle = torch.full((4, 2, 3, 8, 8), 0.5)
    torch.testing.assert_close(changed(middle, contrast=1.0), middle)


def test_a_cutout_blanks_its_square_or_the_part_inside() -> None:
    white = torch.ones(200, 2, 3, 40, 40)
    blank = (changed(white, cutout=0.5) == 0.5).float().mean(dim=(1, 2, 3, 4))
    assert blank.max() == pytest.approx(0.25)
    assert blank.min() >= 0.25 / 4 - 0.01


def test_blurred_pictures_lose_detail() -> None:
    sharp = pairs(side=64)
    assert changed(sharp, blurred=1.0).diff(dim=-1).abs().mean() < 0.6 * sharp.diff(dim=-1).abs().mean()


def test_the_gradient_reaches_the_pictures() -> None:
    scene = pairs().requires_grad_()
    augment(scene, Augmentation(), draw_of(0, 0, 6)).sum().backward()
    assert scene.grad is not None
    assert (scene.grad.flatten(1).abs().sum(dim=1) > 0).all()
