import torch

from fairhands.data.mannequin import draw
from fairhands.evaluation.figures import HAND_LEFT, HAND_SIDE, HAND_TOP, drawn_figures, hand_crops
from fairhands.evaluation.fingers import VERDICTS


def test_a_figures_hand_never_leaves_the_part_that_is_judged() -> None:
    for seed in range(150):
        x, y, width, height = draw(seed, 192, body=True, studio=True).boxes[0]
        assert x >= HAND_LEFT * 192
        assert y >= HAND_TOP * 192
        assert x + width <= (HAND_LEFT + HAND_SIDE) * 192
        assert y + height <= (HAND_TOP + HAND_SIDE) * 192


def test_the_part_is_cut_out_of_pictures_of_any_size() -> None:
    for size in (192, 384):
        rows = torch.linspace(0, 1, size)[:, None].expand(3, -1, size)
        columns = torch.linspace(0, 1, size)[None].expand(3, size, -1)
        seen = hand_crops(torch.stack([rows, columns]))
        assert seen.shape == (2, 3, 128, 128)
        for part, start in ((seen[0, 0, :, 5], HAND_TOP), (seen[1, 0, 5], HAND_LEFT)):
            assert abs(float(part[0]) - start) < 0.01
            assert abs(float(part[-1]) - start - HAND_SIDE) < 0.01


def test_drawn_figures_come_with_their_true_verdicts() -> None:
    pictures, verdicts = drawn_figures(30, 4, 96)
    assert pictures.shape == (4, 3, 96, 96)
    assert 0.9 < float(pictures.max()) <= 1
    kinds = [draw(30 + number, 96, body=True, studio=True).kind[0] for number in range(4)]
    assert [VERDICTS[verdict] for verdict in verdicts.tolist()] == kinds
