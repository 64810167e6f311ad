import torch

from fairhands.hands.regions import regions


def test_each_part_gives_its_box_and_the_largest_comes_first() -> None:
    mask = torch.zeros(60, 100)
    mask[5:15, 10:30] = 1
    mask[30:55, 60:90] = 1
    assert regions(mask) == [(60, 30, 30, 25), (10, 5, 20, 10)]


def test_specks_are_left_out() -> None:
    mask = torch.zeros(200, 200)
    mask[0, 0] = 1
    mask[50:60, 50:60] = 1
    assert regions(mask) == [(50, 50, 10, 10)]


def test_a_faint_mask_has_parts_too_and_an_empty_one_has_none() -> None:
    mask = torch.zeros(50, 50, dtype=torch.float16)
    assert regions(mask) == []
    mask[10:20, 10:20] = 0.2
    assert regions(mask) == [(10, 10, 10, 10)]


def test_soft_edges_that_meet_do_not_join_hands() -> None:
    mask = torch.full((20, 40), 0.2)
    mask[5:15, 5:15] = 1
    mask[5:15, 25:35] = 1
    assert len(regions(mask)) == 2
