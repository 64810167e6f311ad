from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fairhands.critic.config import CriticConfig
from fairhands.critic.network import Critic
from fairhands.data import mannequin
from fairhands.guidance.cumulative_mask import CumulativeMask
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.follow import HandFollower
from fairhands.guidance.guided_prediction import GuidedPrediction, Prediction
from fairhands.guidance.normalisation import masked_rms
from fairhands.guidance.schedule import UNIT_STEP, Moment, Schedule, Window
from fairhands.guidance.textual import TextualSettings
from fairhands.guidance.trace import ImageRecord, Trace
from fairhands.guidance.visual import CriticLoss, Mode, VisualSettings
from fairhands.hands.detector import HandDetector
from fairhands.hands.masks import MaskStyle

SIZE, CELL = 256, 8
INSIDE = Moment(sigma=1.0, timestep=400.0, noise_share=0.7)
OUTSIDE = [Moment(3.0, 651.0, 0.9), Moment(0.4, 149.0, 0.3)]
MODES: list[Mode] = ["fast", "exact"]
GREY = torch.full((3, SIZE, SIZE), 0.5)


def decode(latents: Tensor) -> Tensor:
    """An exact decoder: each latent cell holds the pixels of its 8 x 8 block."""
    return functional.pixel_shuffle(latents, CELL)


def encode(*pictures: Tensor) -> Tensor:
    return functional.pixel_unshuffle(torch.stack(pictures), CELL)


def hand_picture(seed: int) -> Tensor:
    return torch.from_numpy(mannequin.draw(seed, SIZE, kind="right").picture).permute(2, 0, 1) / 255


class Model:
    """A denoiser whose estimate for x is x itself where no other is given; keeps how it was called."""

    def __init__(self, denoise: Callable[[Tensor], Tensor] | None = None, difference: Tensor | None = None) -> None:
        self.denoise = denoise or (lambda x: 1.0 * x)
        self.difference = difference
        self.cfg_difference: Tensor | None = None
        self.calls: list[bool] = []
        self.predicted: Tensor | None = None

    def __call__(self, x: Tensor, with_lora: bool) -> Prediction:
        self.calls.append(with_lora)
        self.predicted = self.denoise(x)
        return Prediction(self.predicted, self.cfg_difference, self.difference if with_lora else None)


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(CriticConfig()).eval().requires_grad_(False)


Guide = Callable[..., GuidedPrediction]


@pytest.fixture
def guide(critic: Critic, hand_detector: HandDetector) -> Guide:
    """Makes the guidance of a run."""

    def make(
        visual: VisualSettings | None = None,
        textual: TextualSettings | None = None,
        batch: int = 1,
        start: Tensor | None = None,
        judge: Critic = critic,
    ) -> GuidedPrediction:
        decoder = Decoder(decode, CELL, "shuffle")
        mask = CumulativeMask(batch, SIZE, SIZE, MaskStyle(shape="hull", padding=0.1), start)
        loss = CriticLoss(judge, decoder) if visual else None
        return GuidedPrediction(HandFollower(decoder, hand_detector, mask), Trace(), visual, loss, textual)

    return make


def only_image(guidance: GuidedPrediction) -> ImageRecord:
    return guidance.trace.steps[0].images[0]


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal to the last bit: signs of zeros and what is no number included."""
    return torch.equal(one.contiguous().view(torch.int32), other.contiguous().view(torch.int32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("moment", OUTSIDE)
def test_outside_the_windows_the_models_very_estimate_comes_back(guide: Guide, mode: Mode, moment: Moment) -> None:
    guidance, model = guide(VisualSettings(2.0, mode), TextualSettings(1.0)), Model()
    assert guidance(model, encode(hand_picture(1)), moment) is model.predicted
    assert model.calls == [False]
    assert guidance.trace.steps == []
    assert not guidance.guides(moment.timestep)


def test_each_part_has_a_window_of_its_own(guide: Guide) -> None:
    x = encode(hand_picture(1))
    visual = VisualSettings(2.0, schedule=Schedule(Window(900, 500)))
    textual = TextualSettings(1.0, Schedule(Window(550, 200), "constant"))
    guidance, model = guide(visual, textual), Model(difference=torch.ones_like(x))
    for timestep in (950, 800, 520, 300, 100):
        assert guidance.guides(timestep) is (200 <= timestep <= 900)
        guidance(model, x, Moment(1.0, timestep, 0.5))
    assert model.calls == [False, False, True, True, False]
    assert [step.timestep for step in guidance.trace.steps] == [800, 520, 300]
    assert [step.visual_strength for step in guidance.trace.steps] == [1.0, 1.0, 0.0]
    assert [step.lora_strength for step in guidance.trace.steps] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("mode", MODES)
def test_strengths_of_0_return_the_models_very_estimate_and_still_follow_the_hands(guide: Guide, mode: Mode) -> None:
    x = encode(hand_picture(1))
    guidance, model = guide(VisualSettings(0.0, mode), TextualSettings(0.0)), Model(difference=torch.ones_like(x))
    assert guidance(model, x, INSIDE) is model.predicted
    assert model.calls == [False]
    assert guidance.follower.mask.area(0) > 0.02
    assert only_image(guidance).note == "w is 0"
    assert not only_image(guidance).guided


@pytest.mark.parametrize("mode", MODES)
def test_without_a_hand_the_estimate_comes_back_and_the_mask_stays_empty(guide: Guide, mode: Mode) -> None:
    x = encode(GREY)
    guidance, model = guide(VisualSettings(2.0, mode), TextualSettings(1.0)), Model(difference=torch.ones_like(x))
    guided = guidance(model, x, INSIDE)
    assert model.predicted is not None
    assert guided.data_ptr() == model.predicted.data_ptr()
    assert guidance.follower.mask.picture.sum() == 0
    assert only_image(guidance).note == "no hand, empty mask"
    assert not only_image(guidance).guided


VISUAL = {mode: VisualSettings(2.0, mode) for mode in MODES}
PARTS = {
    "visual, fast": (VISUAL["fast"], None),
    "visual, exact": (VISUAL["exact"], None),
    "textual": (None, TextualSettings(1.0)),
    "both, fast": (VISUAL["fast"], TextualSettings(1.0)),
    "both, exact": (VISUAL["exact"], TextualSettings(1.0)),
}


@pytest.mark.parametrize("parts", PARTS)
def test_outside_the_mask_every_value_is_kept_bit_for_bit_and_inside_it_changes(guide: Guide, parts: str) -> None:
    x = encode(hand_picture(1))
    x[:, :, ::3, ::2] = -0.0
    guidance = guide(*PARTS[parts], start=torch.zeros(8, 8).index_fill(0, torch.tensor([0, 1]), 1.0))
    difference = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    guided = guidance(Model(difference=difference), x, INSIDE)
    mask = guidance.follower.mask.latent(0, *x.shape[-2:])
    assert 0.05 < (mask > 0).float().mean() < 0.9
    assert same_bits(guided[..., mask == 0], x[..., mask == 0])
    assert (guided != x)[..., mask > 0].float().mean() > 0.9
    assert only_image(guidance).guided


@pytest.mark.parametrize("mode", MODES)
def test_a_small_step_lowers_the_critics_loss(guide: Guide, mode: Mode) -> None:
    guidance = guide(VisualSettings(0.1, mode, measure_effect=True))
    x = encode(hand_picture(1))
    guided = guidance(Model(), x, INSIDE)
    record = only_image(guidance)
    assert record.loss is not None
    assert record.loss_after is not None
    assert record.loss_after < record.loss
    guidance(Model(), guided, INSIDE)
    assert guidance.trace.steps[1].images[0].loss == pytest.approx(record.loss_after, abs=1e-6)


def test_the_step_has_the_length_of_the_schedule_over_the_mask(guide: Guide) -> None:
    x = encode(hand_picture(1))
    guidance = guide(VisualSettings(3.0), start=torch.ones(8, 8))
    update = x - guidance(Model(), x, INSIDE)
    assert float((update**2).mean().sqrt()) == pytest.approx(3.0 * UNIT_STEP * 0.7, rel=1e-3)
    assert only_image(guidance).step_rms == pytest.approx(3.0 * UNIT_STEP * 0.7, rel=1e-3)
    # The effect is measured on request alone.
    assert only_image(guidance).loss_after is None


@pytest.mark.parametrize("mode", MODES)
def test_in_a_batch_only_the_image_with_a_hand_is_guided(guide: Guide, mode: Mode) -> None:
    x = encode(GREY, hand_picture(1), GREY)
    guidance = guide(VisualSettings(2.0, mode), batch=3)
    guided = guidance(Model(), x, INSIDE)
    assert torch.equal(guided[[0, 2]], x[[0, 2]])
    assert not torch.equal(guided[1], x[1])
    assert [image.guided for image in guidance.trace.steps[0].images] == [False, True, False]


@pytest.mark.parametrize("mode", MODES)
def test_a_start_mask_guides_where_the_detector_sees_nothing_and_cfgs_step_is_measured_there(
    guide: Guide, mode: Mode
) -> None:
    start = torch.zeros(SIZE, SIZE)
    start[64:128, 64:128] = 1
    x = encode(torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.1)
    model = Model()
    model.cfg_difference = torch.full_like(x, 9.0)
    model.cfg_difference[..., 8:16, 8:16] = 0.3
    settings = VisualSettings(2.0, mode, Schedule(curve="constant"), "cfg")
    update = (x - guide(settings, start=start)(model, x, INSIDE))[0]
    changed = (update != 0).any(0)
    assert changed[8:16, 8:16].all()
    assert changed.sum() == 64
    assert masked_rms(update, start[::CELL, ::CELL]) == pytest.approx(0.6, rel=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_a_critic_that_gives_no_number_leaves_the_step_unguided_and_says_so(guide: Guide, mode: Mode) -> None:
    broken = Critic(CriticConfig()).eval().requires_grad_(False)
    for parameter in broken.parameters():
        parameter.fill_(torch.nan)
    x = encode(hand_picture(1))
    guidance = guide(VisualSettings(2.0, mode), judge=broken)
    assert torch.equal(guidance(Model(), x, INSIDE), x)
    assert only_image(guidance).note == "the critic's gradient is not finite"
    assert not only_image(guidance).guided


class FailsInTheDark(Critic):
    """A critic that gives no number, and no gradient, for dark pictures."""

    def forward(self, pictures: Tensor, text: Tensor | None = None) -> Tensor:
        return super().forward(pictures, text) + 0 * (pictures.mean((1, 2, 3)) - 0.05)[:, None].sqrt()


def denoise_together(x: Tensor) -> Tensor:
    """What is no number in the gradient of one image would reach the others."""
    return torch.sin(x) + 0 * x.sum(0)


@pytest.mark.parametrize("mode", MODES)
def test_one_image_without_a_number_leaves_the_others_guided_as_without_it(guide: Guide, mode: Mode) -> None:
    torch.manual_seed(0)
    judge = FailsInTheDark(CriticConfig()).eval().requires_grad_(False)
    dark = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.05
    x = encode(hand_picture(1), dark, hand_picture(2))
    settings, start = VisualSettings(2.0, mode), torch.ones(8, 8)
    guidance = guide(settings, batch=3, start=start, judge=judge)
    guided = guidance(Model(denoise_together), x, INSIDE)
    alone = guide(settings, batch=2, start=start, judge=judge)
    expected = alone(Model(denoise_together), x[[0, 2]], INSIDE)
    assert same_bits(guided[1], denoise_together(x)[1])
    assert torch.allclose(guided[[0, 2]], expected, rtol=0, atol=1e-5)
    records = guidance.trace.steps[0].images
    assert [record.note for record in records] == ["", "the critic's gradient is not finite", ""]
    assert [record.guided for record in records] == [True, False, True]
    assert records[0].loss == pytest.approx(alone.trace.steps[0].images[0].loss, rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_works_under_inference_mode_and_on_half_precision(guide: Guide, mode: Mode, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        x = encode(hand_picture(1)).to(dtype)
        model = Model(difference=torch.ones_like(x))
        guidance = guide(VisualSettings(2.0, mode), TextualSettings(1.0))
        guided = guidance(model, x, INSIDE)
        full = guidance(Model(difference=torch.ones_like(x).float()), x.float(), INSIDE)
    assert guided.dtype == dtype
    assert not guided.requires_grad
    assert not torch.equal(guided, x)
    assert torch.allclose(guided.float(), full, atol=2e-2 if dtype == torch.bfloat16 else 2e-3)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_requires_a_gradient_afterwards(guide: Guide, mode: Mode) -> None:
    x = encode(hand_picture(1))
    assert not guide(VisualSettings(2.0, mode))(Model(lambda x: torch.sin(x)), x, INSIDE).requires_grad
    assert not guide(VisualSettings(0.0, mode))(
        Model(lambda x: x * torch.ones(1, requires_grad=True)), x, INSIDE
    ).requires_grad
    assert not x.requires_grad


@pytest.mark.parametrize("mode", MODES)
def test_both_parts_add_up(guide: Guide, mode: Mode) -> None:
    x = encode(hand_picture(1))
    difference = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    visual, textual = VisualSettings(2.0, mode), TextualSettings(1.5)
    changes = [
        guide(*parts)(Model(difference=difference), x, INSIDE) - x
        for parts in ((visual, None), (None, textual), (visual, textual), (visual, TextualSettings(0.0)))
    ]
    assert torch.allclose(changes[0] + changes[1], changes[2], atol=1e-5)
    assert torch.equal(changes[0], changes[3])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_nth_step_of_a_window_is_guided_and_repeats_of_a_step_count_once(guide: Guide, every: int) -> None:
    x = encode(hand_picture(1))
    visual = VisualSettings(2.0, schedule=Schedule(every=every))
    guidance, model = guide(visual, TextualSettings(1.0, Schedule(every=every))), Model(difference=torch.ones_like(x))
    for timestep in (800, 600, 600, 500, 500, 400, 300, 300, 100):
        guided = guidance(model, x, Moment(1.0, timestep, 0.5))
        number = {600: 0, 500: 1, 400: 2, 300: 3}.get(timestep)
        turn = number is not None and number % every == 0
        assert (guided is not model.predicted) is turn
        assert model.calls[-1] is turn
        if number is not None:
            step = guidance.trace.steps[-1]
            assert (step.visual_strength > 0) is turn
            assert (step.lora_strength > 0) is turn
            assert bool(step.images[0].hands) is turn  # at the others nothing is looked for
    assert len(guidance.trace.steps) == 7


@pytest.mark.parametrize("mode", MODES)
def test_the_trace_holds_strengths_and_the_seconds_of_each_part(guide: Guide, mode: Mode) -> None:
    guidance = guide(VisualSettings(2.0, mode, measure_effect=True))
    guidance(Model(), encode(hand_picture(1)), INSIDE)
    (step,) = guidance.trace.steps
    assert (step.timestep, step.sigma) == (400.0, 1.0)
    assert step.visual_strength == pytest.approx(1.4)
    backward = {"backward"} if mode == "exact" else set()
    assert set(step.seconds) == {"predict", "detect", "critic", "measure effect"} | backward
    assert all(value > 0 for value in step.seconds.values())
    assert len(step.images[0].hands) == 1
    assert step.images[0].mask_area == pytest.approx(guidance.follower.mask.area(0))
