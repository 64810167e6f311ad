from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from fairhands.critic.config import CriticConfig
from fairhands.critic.network import Critic
from fairhands.guidance.cumulative_mask import CumulativeMask
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.follow import HandFollower
from fairhands.guidance.guided_prediction import GuidedPrediction, Prediction
from fairhands.guidance.normalisation import Normalisation, masked_rms
from fairhands.guidance.schedule import UNIT_STEP, Moment, Schedule, Window
from fairhands.guidance.trace import ImageRecord, Trace
from fairhands.guidance.visual import CriticLoss, Mode, VisualSettings, visual_step
from fairhands.guidance.windows import Region
from fairhands.hands.detector import HandDetector
from fairhands.hands.masks import MaskStyle

MIDDLE = Moment(sigma=2.0, timestep=400.0, noise_share=0.7)
MODES: list[Mode] = ["fast", "exact"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_judged_in_full_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    small = Critic(CriticConfig(input_size=32, widths=(8, 8))).eval().requires_grad_(False)
    seen: list[torch.dtype] = []

    def decode(values: Tensor) -> Tensor:
        seen.append(values.dtype)
        return functional.pixel_shuffle(values, 2).expand(-1, 3, -1, -1)

    loss = CriticLoss(small, Decoder(decode, 2, "shuffle"))
    gradient, _ = loss.gradient(torch.randn(1, 4, 30, 30).to(dtype), [[Region((9, 9, 20, 20))]])
    loss.losses(torch.randn(1, 4, 30, 30).to(dtype), [[Region((9, 9, 20, 20))]])
    assert seen == [torch.float32, torch.float32]
    assert gradient.dtype == torch.float32


def gradient_of_rms(rms: float, mask: Tensor) -> Tensor:
    gradient = torch.randn(4, *mask.shape, generator=torch.Generator().manual_seed(2))
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
    for gradient, place in ((torch.zeros(4, 10, 12), mask), (gradient_of_rms(1.0, mask), torch.zeros(10, 12))):
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
        VisualSettings(1.0, **settings)


# From here on: small pictures under a mask of ones, in double precision, to compare with formulas.

SIZE, CELL = 64, 8
CHANNELS = 3 * CELL**2
Denoise = Callable[[Tensor], Tensor]


def decode(latents: Tensor) -> Tensor:
    return functional.pixel_shuffle(latents, CELL)


class NoiseNetwork(nn.Module):
    """A small eps(z) of full Jacobian."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.one = nn.Conv2d(CHANNELS, 16, 3, padding=1)
        self.two = nn.Conv2d(16, CHANNELS, 3, padding=1)
        self.double().requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(z)))


class SmallCritic(Critic):
    """A critic that sees pictures of 64 px whole; its loss can be made faint."""

    faint = 1.0

    def loss(self, logits: Tensor) -> Tensor:
        return self.faint * super().loss(logits)

    def of_estimates(self, estimates: Tensor) -> Tensor:
        """The loss of each estimate `[B, C, 8, 8]`."""
        return self.loss(self(functional.interpolate(decode(estimates), (32, 32), mode="bilinear", antialias=True)))


@pytest.fixture
def critic() -> SmallCritic:
    torch.manual_seed(0)
    critic = SmallCritic(CriticConfig(input_size=32, widths=(8, 8), margin=0.0))
    return critic.double().eval().requires_grad_(False)


Guided = Callable[[VisualSettings, Denoise, Tensor, Moment], tuple[Tensor, list[ImageRecord]]]


@pytest.fixture
def guided(critic: SmallCritic, hand_detector: HandDetector) -> Guided:
    """One guided prediction: the estimates and their records."""

    def predict(
        settings: VisualSettings, denoise: Denoise, x: Tensor, moment: Moment
    ) -> tuple[Tensor, list[ImageRecord]]:
        decoder = Decoder(decode, CELL, "shuffle")
        mask = CumulativeMask(len(x), SIZE, SIZE, MaskStyle(), torch.ones(8, 8))
        follower = HandFollower(decoder, hand_detector, mask)
        guidance = GuidedPrediction(follower, Trace(), settings, CriticLoss(critic, decoder))
        estimates = guidance(lambda x, _: Prediction(denoise(x)), x, moment)
        return estimates, guidance.trace.steps[0].images

    return predict


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(2, CHANNELS, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def test_the_exact_gradient_agrees_with_finite_differences(guided: Guided, critic: SmallCritic, noise: Tensor) -> None:
    network = NoiseNetwork()

    def denoise(x: Tensor) -> Tensor:
        return x - network(x)

    settings = VisualSettings(1.0, "exact", Schedule(curve="constant"), "none")
    gradient = denoise(noise) - guided(settings, denoise, noise, MIDDLE)[0]
    assert gradient.dtype == torch.float64
    for seed in range(5):
        direction = torch.randn(noise.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        before, after = (critic.of_estimates(denoise(noise + sign * 1e-5 * direction)) for sign in (-1, 1))
        slope = (gradient * direction).sum((1, 2, 3))
        assert torch.allclose((after - before) / 2e-5, slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("w", [0.5, 20.0])
def test_a_ddim_step_is_that_of_universal_guidances_printed_formula(
    guided: Guided, critic: SmallCritic, noise: Tensor, flow: bool, w: float
) -> None:
    """eps' = eps + w sqrt(1 - abar) grad_z l(z0(z)), then DDIM from abar to abar' (arXiv 2302.07121, eq. 6)."""
    network, z = NoiseNetwork(), noise.requires_grad_()
    abar, abar_next = torch.tensor([0.3, 0.45], dtype=torch.float64)

    def clean(z: Tensor, eps: Tensor) -> Tensor:
        return (z - (1 - abar).sqrt() * eps) / abar.sqrt()

    (gradient,) = torch.autograd.grad(critic.of_estimates(clean(z, network(z))).sum(), z)
    z = z.detach()
    eps = network(z) + w * (1 - abar).sqrt() * gradient
    expected = abar_next.sqrt() * clean(z, eps) + (1 - abar_next).sqrt() * eps

    # The same in a sampler's own coordinates: x = z / sqrt(abar), of a flow model times 1 - t.
    sigma, sigma_next = (((1 - some) / some).sqrt() for some in (abar, abar_next))
    signal = 1 / (1 + sigma) if flow else torch.ones_like(sigma)
    moment = Moment(float(sigma * signal), 500.0, 0.8, float(signal))

    def denoise(x: Tensor) -> Tensor:
        return clean(x / signal * abar.sqrt(), network(x / signal * abar.sqrt()))

    x = z / abar.sqrt()
    settings = VisualSettings(w, "exact", Schedule(Window(1000, 0), "sigma2"), "none")
    estimates, _ = guided(settings, denoise, signal * x, moment)
    found = abar_next.sqrt() * (estimates + sigma_next / sigma * (x - estimates))
    assert (found - expected).abs().max() < 1e-5 * min(1.0, float((denoise(signal * x) - estimates).abs().max()))


@pytest.mark.parametrize("signal", [1.0, 0.4])
@pytest.mark.parametrize("normalisation", ["unit", "clip", "none"])
def test_fast_equals_exact_where_the_denoisers_jacobian_is_the_identity(
    guided: Guided, noise: Tensor, signal: float, normalisation: Normalisation
) -> None:
    """The Jacobian in the coordinates x / signal."""

    def denoise(x: Tensor) -> Tensor:
        return x / signal + 0.1 * noise.flip(0)

    moment = Moment(0.6, 600.0, 0.6, signal)
    fast, exact = (
        guided(VisualSettings(2.0, mode, normalisation=normalisation), denoise, noise, moment)[0] for mode in MODES
    )
    assert torch.allclose(fast, exact, rtol=0, atol=1e-12)
    assert not torch.equal(fast, denoise(noise))


def test_fast_differs_from_exact_for_another_jacobian(guided: Guided, noise: Tensor) -> None:
    network = NoiseNetwork()
    fast, exact = (guided(VisualSettings(2.0, mode), lambda x: x - network(x), noise, MIDDLE)[0] for mode in MODES)
    assert (fast - exact).abs().max() > 1e-3


def test_exact_gradients_too_small_for_half_precision_are_not_lost(
    guided: Guided, critic: SmallCritic, noise: Tensor
) -> None:
    critic.float().faint = 1e-6
    changes = []
    for x in (noise.half(), noise.float()):
        estimates, records = guided(VisualSettings(2.0, "exact"), lambda x: 0.9 * x, x, MIDDLE)
        assert estimates.dtype == x.dtype
        # The smallest number of float16 is 6e-8.
        assert all(0 < (record.gradient_rms or 0.0) < 6e-8 for record in records)
        changes.append((estimates - 0.9 * x).float().flatten())
    assert functional.cosine_similarity(*changes, dim=0) > 0.99


def test_a_denoiser_whose_gradient_is_no_number_leaves_that_image_unguided(guided: Guided, noise: Tensor) -> None:
    def denoise(x: Tensor) -> Tensor:
        # The second image's estimate is finite, its derivative is not.
        return torch.stack([x[0], x[1] + 0 * (x[1] - x[1].detach()).abs().sqrt()])

    estimates, records = guided(VisualSettings(2.0, "exact"), denoise, noise, MIDDLE)
    assert torch.equal(estimates[1], noise[1])
    assert not torch.equal(estimates[0], noise[0])
    assert [record.note for record in records] == ["", "the critic's gradient is not finite"]


def test_exact_works_under_inference_mode_with_a_denoiser_that_computes_again_on_the_way_back(
    guided: Guided, noise: Tensor
) -> None:
    network = NoiseNetwork()

    def denoise(x: Tensor) -> Tensor:
        return x - checkpoint(network, x, use_reentrant=False)

    expected, _ = guided(VisualSettings(2.0, "exact"), lambda x: x - network(x), noise, MIDDLE)
    with torch.inference_mode():
        estimates, _ = guided(VisualSettings(2.0, "exact"), denoise, noise.clone(), MIDDLE)
    assert torch.allclose(estimates, expected, atol=1e-10)
