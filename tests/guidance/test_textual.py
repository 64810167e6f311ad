import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fairhands.guidance.cumulative_mask import CumulativeMask
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.follow import HandFollower
from fairhands.guidance.guided_prediction import GuidedPrediction, Prediction
from fairhands.guidance.normalisation import masked_rms
from fairhands.guidance.schedule import Moment, Schedule, Window
from fairhands.guidance.textual import TextualSettings, textual_step
from fairhands.guidance.trace import ImageRecord, Trace
from fairhands.hands.detector import HandDetector
from fairhands.hands.masks import MaskStyle

MIDDLE = Moment(1.0, 400.0, 0.7)
MASK = torch.tensor([[1.0, 0.5], [0.0, 0.0]])


def test_the_step_is_v_times_the_mask_times_the_difference() -> None:
    difference = torch.randn(3, 2, 2)
    step = textual_step(difference, MASK, 1.5, ImageRecord())
    assert torch.allclose(step, 1.5 * MASK * difference)
    assert (step[:, 1] == 0).all()


def test_the_record_holds_the_differences_own_size_over_the_mask() -> None:
    difference = torch.full((3, 2, 2), -0.25)
    difference[:, 1] = 99
    record = ImageRecord()
    textual_step(difference, MASK, 4.0, record)
    assert record.difference_rms == pytest.approx(0.25)
    assert record.guided


def test_over_an_empty_mask_nothing_is_added_and_the_image_counts_as_unguided() -> None:
    record = ImageRecord()
    assert (textual_step(torch.ones(3, 2, 2), torch.zeros(2, 2), 4.0, record) == 0).all()
    assert record.difference_rms == 0.0
    assert not record.guided


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_difference_that_is_no_number_adds_nothing_and_leaves_a_note(bad: float) -> None:
    difference = torch.ones(3, 2, 2)
    difference[0, 1, 1] = bad
    record = ImageRecord()
    assert (textual_step(difference, MASK, 1.0, record) == 0).all()
    assert record.note == "the hand LoRA's difference is not finite"
    assert not record.guided


def test_strength_is_v_times_the_schedule_which_is_constant_by_default() -> None:
    assert TextualSettings(2.0).strength(MIDDLE) == 2.0
    assert TextualSettings(2.0, Schedule(Window(), "noise")).strength(MIDDLE) == pytest.approx(1.4)


def test_what_it_applies_to_is_checked() -> None:
    with pytest.raises(ValueError, match="applies_to is 'uncond', expected one of cond, both"):
        TextualSettings(1.0, applies_to="uncond")


def noise(seed: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 192, 8, 8, generator=torch.Generator().manual_seed(seed))


def guidance_with(detector: HandDetector, v: float, batch: int = 1) -> GuidedPrediction:
    """Textual guidance of 64 px pictures inside a mask of soft edges."""
    start = torch.zeros(64, 64)
    start[12:40, 20:60] = 1
    decoder = Decoder(lambda latents: functional.pixel_shuffle(latents, 8), 8, "shuffle")
    mask = CumulativeMask(batch, 64, 64, MaskStyle(), start)
    return GuidedPrediction(HandFollower(decoder, detector, mask), Trace(), textual=TextualSettings(v))


@pytest.mark.parametrize("v", [1.5, -1.0])
def test_guidance_adds_the_difference_times_v_times_the_mask(hand_detector: HandDetector, v: float) -> None:
    estimate, difference = noise(0), noise(1)
    guidance = guidance_with(hand_detector, v)
    guided = guidance(lambda x, with_lora: Prediction(x, None, difference if with_lora else None), estimate, MIDDLE)
    mask = guidance.follower.mask.latent(0, 8, 8)
    assert ((mask > 0) & (mask < 1)).any()
    assert torch.allclose(guided, estimate + v * mask * difference, atol=1e-6)
    (step,) = guidance.trace.steps
    assert step.lora_strength == v
    assert step.images[0].difference_rms == pytest.approx(masked_rms(difference[0], mask))
    assert step.images[0].loss is None


def test_without_strength_the_lora_is_not_asked_for_and_nothing_changes(hand_detector: HandDetector) -> None:
    estimate, asked = noise(0), []

    def predict(x: Tensor, with_lora: bool) -> Prediction:
        asked.append(with_lora)
        return Prediction(estimate, None, noise(1))

    guidance = guidance_with(hand_detector, 0.0)
    assert guidance(predict, noise(2), MIDDLE) is estimate
    assert asked == [False]
    assert guidance.trace.steps[0].images[0].difference_rms is None


@pytest.mark.parametrize("place", [(0, 0), (3, 5)])
def test_a_difference_that_is_no_number_leaves_its_image_alone(
    hand_detector: HandDetector, place: tuple[int, int]
) -> None:
    """Also where it is so outside the mask alone."""
    estimate, difference = noise(0, batch=2), noise(1, batch=2)
    difference[(0, 0, *place)] = torch.nan
    guidance = guidance_with(hand_detector, 1.0, batch=2)
    guided = guidance(lambda x, _: Prediction(x, None, difference), estimate, MIDDLE)
    assert torch.equal(guided[0], estimate[0])
    assert not torch.equal(guided[1], estimate[1])
    assert [bool(record.note) for record in guidance.trace.steps[0].images] == [True, False]
