import math

import pytest
import torch
from torch.nn import functional

from fairhands.critic.config import CriticConfig
from fairhands.critic.network import Critic
from fairhands.data import mannequin
from fairhands.guidance.cumulative_mask import CumulativeMask
from fairhands.guidance.schedule import UNIT_STEP, Window
from fairhands.guidance.visual import VisualGuidance, critic_boxes
from fairhands.hands.detector import HandDetector
from fairhands.hands.hand import Hand
from fairhands.hands.masks import MaskStyle

SIZE, CELL = 256, 8
INSIDE = {"sigma": 1.0, "timestep": 400.0, "noise_share": 0.7}


def decode(latent: torch.Tensor) -> torch.Tensor:
    """An exact decoder: each latent cell holds the pixels of its 8 x 8 block."""
    return functional.pixel_shuffle(latent, CELL)


def encode(*pictures: torch.Tensor) -> torch.Tensor:
    return functional.pixel_unshuffle(torch.stack(pictures), CELL)


def hand_picture(seed: int) -> torch.Tensor:
    return torch.from_numpy(mannequin.draw(seed, SIZE, kind="right").picture).permute(2, 0, 1) / 255


def grey_picture() -> torch.Tensor:
    return torch.full((3, SIZE, SIZE), 0.5)


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(CriticConfig()).eval().requires_grad_(False)


def guidance(
    critic: Critic, detector: HandDetector, batch: int = 1, w: float = 2.0, start: torch.Tensor | None = None
) -> VisualGuidance:
    mask = CumulativeMask(batch, SIZE, SIZE, MaskStyle(shape="hull", padding=0.1), start)
    return VisualGuidance(critic, decode, detector, mask, w, Window(650, 150))


def test_outside_the_window_the_estimate_comes_back_untouched(critic: Critic, hand_detector: HandDetector) -> None:
    estimate = encode(hand_picture(1))
    step = guidance(critic, hand_detector)
    assert step(estimate, 3.0, 651.0, 0.9) is estimate
    assert step(estimate, 0.4, 149.0, 0.3) is estimate
    assert step.trace.steps == []


def test_w_0_returns_the_estimate_and_still_follows_the_hands(critic: Critic, hand_detector: HandDetector) -> None:
    estimate = encode(hand_picture(1))
    step = guidance(critic, hand_detector, w=0.0)
    assert step(estimate, **INSIDE) is estimate
    assert step.mask.area(0) > 0.02
    assert step.trace.steps[0].images[0].note == "w is 0"


def test_without_a_hand_the_estimate_comes_back_and_the_mask_stays_empty(
    critic: Critic, hand_detector: HandDetector
) -> None:
    estimate = encode(grey_picture())
    step = guidance(critic, hand_detector)
    assert step(estimate, **INSIDE) is estimate
    assert step.mask.picture.sum() == 0
    assert step.trace.steps[0].images[0].note == "no hand, empty mask"


def test_outside_the_mask_every_value_is_kept_and_inside_it_changes(
    critic: Critic, hand_detector: HandDetector
) -> None:
    estimate = encode(hand_picture(1))
    step = guidance(critic, hand_detector)
    guided = step(estimate, **INSIDE)
    mask = step.mask.latent(0, *estimate.shape[-2:])
    assert torch.equal(guided[..., mask == 0], estimate[..., mask == 0])
    assert 0.05 < (mask > 0).float().mean() < 0.9
    assert not torch.equal(guided[..., mask == 1], estimate[..., mask == 1])


def test_a_small_step_lowers_the_critics_loss(critic: Critic, hand_detector: HandDetector) -> None:
    step = guidance(critic, hand_detector, w=0.1)
    estimate = encode(hand_picture(1))
    guided = step(estimate, **INSIDE)
    step(guided, **INSIDE)
    before, after = (record.images[0].loss for record in step.trace.steps)
    assert after < before


def test_the_step_has_the_length_of_the_schedule_over_the_mask(critic: Critic, hand_detector: HandDetector) -> None:
    estimate = encode(hand_picture(1))
    step = guidance(critic, hand_detector, w=3.0, start=torch.ones(8, 8))
    update = estimate - step(estimate, **INSIDE)
    assert math.isclose(float((update**2).mean().sqrt()), 3.0 * UNIT_STEP * 0.7, rel_tol=1e-3)


def test_in_a_batch_only_the_image_with_a_hand_is_guided(critic: Critic, hand_detector: HandDetector) -> None:
    estimate = encode(grey_picture(), hand_picture(1), grey_picture())
    step = guidance(critic, hand_detector, batch=3)
    guided = step(estimate, **INSIDE)
    assert torch.equal(guided[[0, 2]], estimate[[0, 2]])
    assert not torch.equal(guided[1], estimate[1])
    assert [image.guided for image in step.trace.steps[0].images] == [False, True, False]


def test_a_start_mask_guides_where_the_detector_sees_nothing(critic: Critic, hand_detector: HandDetector) -> None:
    start = torch.zeros(SIZE, SIZE)
    start[64:128, 64:128] = 1
    estimate = encode(torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.1)
    guided = guidance(critic, hand_detector, start=start)(estimate, **INSIDE)
    changed = (guided != estimate).any(1)[0]
    assert changed[8:16, 8:16].all()
    assert changed.sum() == 64


def test_a_critic_that_gives_no_number_leaves_the_step_unguided_and_says_so(hand_detector: HandDetector) -> None:
    broken = Critic(CriticConfig()).eval().requires_grad_(False)
    for parameter in broken.parameters():
        parameter.fill_(torch.nan)
    estimate = encode(hand_picture(1))
    step = guidance(broken, hand_detector)
    assert step(estimate, **INSIDE) is estimate
    assert step.trace.steps[0].images[0].note == "the critic's gradient is not finite"


def test_it_works_under_inference_mode_and_on_half_precision(critic: Critic, hand_detector: HandDetector) -> None:
    with torch.inference_mode():
        estimate = encode(hand_picture(1)).half()
        guided = guidance(critic, hand_detector)(estimate, **INSIDE)
    assert guided.dtype == torch.float16
    assert not torch.equal(guided, estimate)


def test_the_critic_looks_at_each_hand_and_at_the_parts_of_the_mask_without_one() -> None:
    mask = torch.zeros(100, 100)
    mask[10:40, 10:40] = 1
    mask[60:90, 60:90] = 1
    hand = Hand(box=(12.0, 12.0, 25.0, 25.0), score=0.9, side="left", landmarks=None)
    boxes = critic_boxes([hand], mask)
    assert boxes[0] == hand.box
    assert [tuple(round(value) for value in box) for box in boxes[1:]] == [(60, 60, 30, 30)]
