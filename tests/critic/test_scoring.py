import pytest
import torch

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.scoring import HANDS_AT_ONCE, hand_scores
from fairhands.hands.crops import square_crops

BOXES = [(5 * number % 40, 3 * number % 30, 10 + number % 20, 12 + number % 9) for number in range(HANDS_AT_ONCE + 5)]
CALIBRATION = (2.0, -0.5)


def critic_with(**config: object) -> Critic:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8), calibration=CALIBRATION, **config))  # type: ignore[arg-type]
    critic(torch.rand(8, 3, 16, 16))  # statistics of batches that differ from those of any one
    return critic.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(1))


def test_a_score_is_the_calibrated_sigmoid_of_the_mean_logit_of_the_hands_crop(picture: torch.Tensor) -> None:
    critic = critic_with(margin=0.3)
    crops = square_crops(picture, BOXES[:3], 16, 0.3)
    expected = torch.sigmoid(CALIBRATION[0] * critic(crops).mean(1) + CALIBRATION[1])
    assert hand_scores(critic, picture, BOXES[:3]) == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_hands_score_does_not_depend_on_the_others_nor_on_their_number(picture: torch.Tensor) -> None:
    critic = critic_with()
    together = hand_scores(critic, picture, BOXES)
    assert len(together) == len(BOXES)
    assert len(set(together)) > 5
    assert together == pytest.approx([hand_scores(critic, picture, [box])[0] for box in BOXES], abs=1e-6)


def test_without_boxes_there_are_no_scores(picture: torch.Tensor) -> None:
    assert hand_scores(critic_with(), picture, []) == []


def test_very_sure_scores_are_told_apart(picture: torch.Tensor) -> None:
    critic = critic_with()
    for head in critic.heads:
        head.judge.bias.data += 10  # mean logits of about 10: in single precision all are 1
    scores = hand_scores(critic, picture, BOXES[:4])
    assert all(0.999 < score < 1 for score in scores)
    assert len(set(scores)) == 4


def test_the_text_counts_where_the_critic_knows_texts_and_is_the_same_for_all_hands(picture: torch.Tensor) -> None:
    critic = critic_with(text_dimension=4)
    one, other = torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(2))
    scores = hand_scores(critic, picture, BOXES, one)
    assert scores != pytest.approx(hand_scores(critic, picture, BOXES, other), abs=1e-4)
    assert scores[3:5] == pytest.approx(hand_scores(critic, picture, BOXES[3:5], one), abs=1e-6)


def test_a_text_that_is_no_number_is_refused_in_a_sentence(picture: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="score is not a number"):
        hand_scores(critic_with(text_dimension=4), picture, BOXES[:1], torch.full((1, 4), torch.nan))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_critic_judges_in_the_precision_of_its_weights(picture: torch.Tensor, dtype: torch.dtype) -> None:
    expected = hand_scores(critic_with(), picture, BOXES[:4])
    scores = hand_scores(critic_with().to(dtype), picture, BOXES[:4])
    assert scores == pytest.approx(expected, abs=0.05)


def test_nothing_is_kept_for_a_gradient_and_inference_mode_is_welcome(picture: torch.Tensor) -> None:
    leaf = picture.clone().requires_grad_()
    outside = hand_scores(critic_with(), leaf, BOXES[:2])
    with torch.inference_mode():
        assert hand_scores(critic_with(), picture, BOXES[:2]) == outside
