import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.training.judging import Judgement, judge, text_of
from fairhands.critic.training.mannequin_pairs import MALFORMED
from fairhands.critic.training.measures import area_under_curve
from fairhands.critic.training.pairs import DrawnPairs
from fairhands.critic.training.report import write_report


def test_the_judgement_holds_each_hands_mean_logit() -> None:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8))).eval()
    pairs = DrawnPairs(torch.randint(256, (40, 2, 3, 16, 16), dtype=torch.uint8), torch.arange(40) % 5)
    found = judge(critic, pairs)
    torch.testing.assert_close(found.right, critic(pairs.pairs[:, 0] / 255).mean(dim=1))
    torch.testing.assert_close(found.malformed, critic(pairs.pairs[:, 1] / 255).mean(dim=1))
    assert torch.equal(found.kinds, pairs.kinds)


def test_estimates_are_judged_apart_from_finished_pictures() -> None:
    class SomeEstimates(DrawnPairs):
        def is_estimate(self, pair: int) -> bool:
            return pair >= 30

    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8))).eval()
    pixels, kinds = torch.randint(256, (40, 2, 3, 16, 16), dtype=torch.uint8), torch.arange(40) % 5
    found, whole = judge(critic, SomeEstimates(pixels, kinds)), judge(critic, DrawnPairs(pixels, kinds))
    assert torch.equal(found.right, whole.right[:30])
    assert torch.equal(found.kinds, kinds[:30])
    assert whole.auc_of_estimates is None
    assert found.figures()["auc_of_estimates"] == area_under_curve(whole.right[30:], whole.malformed[30:])


def test_figures_tell_kinds_apart() -> None:
    right = torch.linspace(0.1, 2, 60)
    judgement = Judgement(right, torch.cat([-right[:30], right[30:]]), torch.arange(60) // 30)
    figures = judgement.figures()
    assert figures["pairs"] == 60
    assert figures["auc_by_kind"][MALFORMED[0]] == 1
    assert figures["auc_by_kind"][MALFORMED[1]] < 0.5
    assert figures["accuracy"] == pytest.approx(0.75)
    assert 0 <= figures["calibration_error"] <= 1


def test_a_pairs_text_is_given_to_both_its_hands() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    found = text_of(texts, [1, -1])
    assert found is not None
    assert found.tolist() == [[0, 2], [0, 2], [0, 0], [0, 0]]
    assert text_of(None, [0, 1]) is None
    assert text_of(torch.zeros(0, 3), [-1]).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_report_holds_figures_and_a_picture(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    right, malformed = torch.randn(2, 50, generator=generator) + torch.tensor([[1.0], [-1.0]])
    judgement = Judgement(right, malformed, torch.full((50,), -1))
    write_report(tmp_path / "new", judgement, [(1, 2.0), (2, 1.0)], {"auc": 0.5})
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == {"auc": 0.5}
    with Image.open(tmp_path / "new" / "report.png") as picture:
        assert picture.width > 3 * picture.height
