from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fairhands.critic.config import CriticConfig
from fairhands.critic.network import Critic
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.normalisation import Normalisation, masked_rms
from fairhands.guidance.schedule import UNIT_STEP, Moment, Schedule, Window
from fairhands.guidance.trace import ImageRecord
from fairhands.guidance.visual import CriticLoss, VisualSettings, visual_step
from fairhands.guidance.windows import CONTEXT, Region
from fairhands.hands.crops import square_crops

CELL = 8
CHANNELS = 4
MIDDLE = Moment(sigma=2.0, timestep=400.0, noise_share=0.7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_judged_in_full_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    small = Critic(CriticConfig(input_size=32, widths=(8, 8))).eval().requires_grad_(False)
    seen: list[torch.dtype] = []

    def decode(values: Tensor) -> Tensor:
        seen.append(values.dtype)
        return functional.pixel_shuffle(values, 2).expand(-1, 3, -1, -1)

    loss = CriticLoss(small, Decoder(decode, 2, "shuffle"))
    gradient, _ = loss.gradient(latents(1, 30, 30).to(dtype), [[Region((9, 9, 20, 20))]])
    loss.losses(latents(1, 30, 30).to(dtype), [[Region((9, 9, 20, 20))]])
    assert seen == [torch.float32, torch.float32]
    assert gradient.dtype == torch.float32


def gradient_of_rms(rms: float, mask: Tensor) -> Tensor:
    gradient = torch.randn(CHANNELS, *mask.shape, generator=torch.Generator().manual_seed(2))
    return gradient * (rms / masked_rms(gradient, mask))


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(10, 12)
    mask[2:7, 3:9] = 1
    return mask


@pytest.mark.parametrize(
    ("normalisation", "rms", "expected"),
    [
        ("unit", 1e-5, UNIT_STEP),
        ("unit", 1e3, UNIT_STEP),
        ("cfg", 1e-5, 0.25),
        ("cfg", 1e3, 0.25),
        ("clip", 1e3, UNIT_STEP),
        ("clip", 0.01, 0.01),
        ("none", 1e3, 1e3),
        ("none", 1e-5, 1e-5),
    ],
)
def test_a_step_has_the_length_that_its_normalisation_promises(
    mask: Tensor, normalisation: Normalisation, rms: float, expected: float
) -> None:
    gradient, record = gradient_of_rms(rms, mask), ImageRecord()
    settings = VisualSettings(3.0, schedule=Schedule(curve="noise"), normalisation=normalisation)
    step = visual_step(gradient, mask, settings, MIDDLE, gradient_of_rms(0.25, mask), record)
    # w = 3, and the curve is 0.7 there.
    assert masked_rms(step, mask) == pytest.approx(3 * 0.7 * expected, rel=1e-5)
    assert record.step_rms == pytest.approx(3 * 0.7 * expected, rel=1e-5)
    assert record.gradient_rms == pytest.approx(rms, rel=1e-5)
    assert (step[:, mask == 0] == 0).all()
    # The direction is the gradient's own.
    assert functional.cosine_similarity(step.flatten(), (mask * gradient).flatten(), dim=0) == pytest.approx(1.0)


def test_none_with_sigma2_is_universal_guidances_step(mask: Tensor) -> None:
    gradient = gradient_of_rms(0.3, mask)
    settings = VisualSettings(1.5, schedule=Schedule(Window(), "sigma2"), normalisation="none")
    step = visual_step(gradient, mask, settings, MIDDLE, None, ImageRecord())
    assert torch.allclose(step, 1.5 * 2.0**2 * mask * gradient)


def test_a_negative_strength_goes_the_other_way_and_its_length_stays_positive(mask: Tensor) -> None:
    gradient, record = gradient_of_rms(0.3, mask), ImageRecord()
    step = visual_step(gradient, mask, VisualSettings(-1.0), MIDDLE, None, record)
    assert torch.allclose(step, -visual_step(gradient, mask, VisualSettings(1.0), MIDDLE, None, ImageRecord()))
    assert record.step_rms == pytest.approx(0.07)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_no_number_makes_no_step_and_leaves_a_note(mask: Tensor, bad: float) -> None:
    gradient, record = gradient_of_rms(0.3, mask), ImageRecord()
    gradient[0, 0, 0] = bad
    assert not visual_step(gradient, mask, VisualSettings(1.0), MIDDLE, None, record).any()
    assert record.note == "the critic's gradient is not finite"
    assert not record.guided


def test_a_gradient_of_zero_or_an_empty_mask_makes_no_step_and_leaves_a_note(mask: Tensor) -> None:
    for gradient, place in ((torch.zeros(CHANNELS, 10, 12), mask), (gradient_of_rms(1.0, mask), torch.zeros(10, 12))):
        record = ImageRecord()
        assert not visual_step(gradient, place, VisualSettings(1.0), MIDDLE, None, record).any()
        assert record.note == "the critic's gradient is zero"
        assert not record.guided


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "slow"}, "mode is 'slow', expected one of fast, exact"),
        ({"normalisation": "l2"}, "normalisation is 'l2', expected one of unit, cfg, clip, none"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VisualSettings(1.0, **settings)  # type: ignore[arg-type]
