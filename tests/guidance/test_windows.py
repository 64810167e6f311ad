import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from fairhands.critic.config import CriticConfig
from fairhands.critic.network import Critic
from fairhands.guidance.decoders import Decoder
from fairhands.guidance.visual import CriticLoss
from fairhands.guidance.windows import CONTEXT, STEP, WHOLE, LatentWindow, Region, batches, window_around
from fairhands.hands.crops import square_around, square_crops
from fairhands.hands.hand import Box

CELL = 8
CHANNELS = 4


@st.composite
def large_latents(draw: st.DrawFn) -> tuple[Box, float, int, int, int]:
    """A box in the picture of a latent too large to be decoded whole, a margin, a scale, height and width."""
    scale = draw(st.sampled_from([4, 8, 16]))
    height = draw(st.integers(8, 200))
    width = draw(st.integers(max(8, WHOLE // height + 1), 200 + WHOLE // height))
    x, y = draw(st.floats(0, width * scale - 2)), draw(st.floats(0, height * scale - 2))
    box = x, y, draw(st.floats(1, width * scale - x)), draw(st.floats(1, height * scale - y))
    return box, draw(st.sampled_from([0.0, 0.15, 0.5])), scale, height, width


@given(large_latents())
def test_a_window_lies_in_the_latent_and_its_sides_can_share_a_batch(case: tuple[Box, float, int, int, int]) -> None:
    box, margin, scale, height, width = case
    window = window_around(box, margin, scale, height, width)
    assert 0 <= window.left <= width - window.width
    assert 0 <= window.top <= height - window.height
    assert window.width % STEP == 0 or window.width == width
    assert window.height % STEP == 0 or window.height == height


@given(large_latents())
def test_a_window_holds_the_critics_crop_with_context_around_it(case: tuple[Box, float, int, int, int]) -> None:
    box, margin, scale, height, width = case
    window = window_around(box, margin, scale, height, width)
    left, top, side = square_around(box, margin, height * scale, width * scale)
    for start, crop, cells, length in (
        (window.left, left, window.width, width),
        (window.top, top, window.height, height),
    ):
        # Where the picture ends there is no context.
        assert start == 0 or crop // scale - start >= CONTEXT
        assert start + cells == length or (start + cells) - (crop + side) / scale >= CONTEXT


@given(large_latents())
def test_the_crop_lies_in_the_window_where_it_lies_in_the_picture(case: tuple[Box, float, int, int, int]) -> None:
    box, margin, scale, height, width = case
    window = window_around(box, margin, scale, height, width)
    left, top, side = square_around(box, margin, height * scale, width * scale)
    shifted = window.shifted(box, scale)
    found = square_around(shifted, margin, window.height * scale, window.width * scale)
    assert found == (left - window.left * scale, top - window.top * scale, side)


def test_a_window_is_not_much_larger_than_its_crop() -> None:
    window = window_around((400.0, 300.0, 80.0, 64.0), 0.25, 8, 128, 128)
    assert window == LatentWindow(43, 30, 24, 24)


def test_small_latents_are_decoded_whole() -> None:
    assert window_around((5.0, 9.0, 8.0, 8.0), 0.15, 8, 24, 24) == LatentWindow(0, 0, 24, 24)
    assert window_around((5.0, 9.0, 8.0, 8.0), 0.15, 8, 16, 36) == LatentWindow(0, 0, 36, 16)
    assert window_around((5.0, 9.0, 8.0, 8.0), 0.15, 8, 24, 25) != LatentWindow(0, 0, 25, 24)


@given(st.lists(st.tuples(st.sampled_from([8, 12]), st.sampled_from([8, 16])), max_size=30), st.integers(1, 9))
def test_batches_hold_every_window_once_and_each_one_size(sizes: list[tuple[int, int]], most: int) -> None:
    windows = [LatentWindow(number, 0, *size) for number, size in enumerate(sizes)]
    groups = batches(windows, most)
    assert sorted(number for group in groups for number in group) == list(range(len(windows)))
    for group in groups:
        assert 1 <= len(group) <= most
        assert len({sizes[number] for number in group}) == 1
    assert len(groups) <= len(set(sizes)) + len(sizes) // most


class FarSightedDecoder(nn.Module):
    """Convolutions whose pictures depend on cells up to CONTEXT away; keeps the shapes it was given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = [CHANNELS] + [8] * (CONTEXT - 1) + [3 * CELL**2]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(widths)
        )
        self.double().requires_grad_(False)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, latents: Tensor) -> Tensor:
        self.seen.append(tuple(latents.shape))
        for convolution in self.convolutions:
            latents = torch.tanh(convolution(latents.double()))
        return functional.pixel_shuffle(latents, CELL)

    @property
    def cells(self) -> int:
        """How many latent cells were decoded so far."""
        return sum(shape[0] * shape[2] * shape[3] for shape in self.seen)


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(CriticConfig(input_size=32, widths=(8, 8, 16))).double().eval().requires_grad_(False)


@pytest.fixture
def decoder() -> FarSightedDecoder:
    return FarSightedDecoder()


def loss_of(critic: Critic, decoder: FarSightedDecoder) -> CriticLoss:
    return CriticLoss(critic, Decoder(decoder, CELL, "far-sighted"))


def latents(batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, CHANNELS, height, width, generator=generator, dtype=torch.float64)


def by_whole_decoding(
    critic: Critic, decoder: FarSightedDecoder, estimates: Tensor, regions: Sequence[Sequence[Region]]
) -> tuple[Tensor, list[float | None]]:
    """Gradients and losses without windows: decode everything, crop, judge, and take the weighted mean."""
    leaf = estimates.clone().requires_grad_()
    losses: list[Tensor | None] = []
    for picture, some in zip(decoder(leaf), regions, strict=True):
        crops = square_crops(picture, [region.box for region in some], critic.input_size, critic.config.margin)
        weights = torch.tensor([region.weight for region in some], dtype=torch.float64)
        losses.append((critic.loss(critic(crops)) * weights).sum() / weights.sum() if some else None)
    (gradient,) = torch.autograd.grad(sum(loss for loss in losses if loss is not None), leaf)
    return gradient, [None if loss is None else loss.item() for loss in losses]


SCENES: dict[str, tuple[int, int, list[list[Region]]]] = {
    "one hand": (40, 48, [[Region((150, 130, 60, 50))]]),
    "a hand that begins within a cell": (40, 48, [[Region((151.3, 133.7, 57.2, 49.9))]]),
    "several hands": (48, 48, [[Region((20, 30, 40, 60)), Region((250, 240, 90, 80)), Region((60, 40, 40, 40))]]),
    "hands at the border": (40, 48, [[Region((0, 0, 40, 30)), Region((330, 280, 54, 40)), Region((370, 0, 14, 90))]]),
    "different sizes in a batch": (
        40,
        40,
        [[Region((10, 10, 20, 20)), Region((100, 100, 150, 120))], [], [Region((200, 40, 60, 70))]],
    ),
    "wide": (16, 90, [[Region((300, 20, 70, 60)), Region((600, 10, 30, 118))]]),
    "tall": (90, 16, [[Region((20, 300, 60, 70)), Region((0, 0, 128, 200))]]),
    "small": (12, 16, [[Region((20, 30, 40, 30)), Region((70, 50, 40, 30))], [Region((0, 0, 128, 96))]]),
    "weights": (40, 48, [[Region((20, 30, 60, 60), 0.9), Region((200, 200, 60, 60), 0.2)]]),
    "more hands than are decoded at once": (
        64,
        64,
        [[Region((50.0 * x, 50.0 * y, 40, 40)) for x in range(4) for y in range(3)]],
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_gradient_through_windows_is_that_of_the_whole_decoding(
    critic: Critic, decoder: FarSightedDecoder, scene: str
) -> None:
    height, width, regions = SCENES[scene]
    estimates = latents(len(regions), height, width)
    expected, expected_losses = by_whole_decoding(critic, decoder, estimates, regions)
    decoder.seen.clear()
    gradient, losses = loss_of(critic, decoder).gradient(estimates, regions)
    assert gradient.dtype == torch.float64
    assert (gradient - expected).abs().max() < 1e-10 * expected.abs().max()
    for loss, wanted in zip(losses, expected_losses, strict=True):
        assert loss == (None if wanted is None else pytest.approx(wanted, rel=1e-10))
    assert loss_of(critic, decoder).losses(estimates, regions) == pytest.approx(losses)


def test_of_large_latents_only_the_windows_are_decoded(critic: Critic, decoder: FarSightedDecoder) -> None:
    loss_of(critic, decoder).gradient(latents(2, 64, 64), [[Region((200, 200, 60, 60))], []])
    assert decoder.seen == [(1, CHANNELS, 20, 20)]


def test_windows_of_one_size_are_decoded_together(critic: Critic, decoder: FarSightedDecoder) -> None:
    regions = [[Region((20, 20, 60, 60)), Region((200, 200, 60, 60))], [Region((300, 30, 120, 60))]]
    loss_of(critic, decoder).gradient(latents(2, 64, 64), regions)
    assert sorted(decoder.seen) == [(1, CHANNELS, 32, 32), (2, CHANNELS, 20, 20)]


def test_small_latents_are_decoded_whole_and_once_for_all_hands_in_them(
    critic: Critic, decoder: FarSightedDecoder
) -> None:
    regions = [[Region((20, 20, 60, 60)), Region((100, 100, 60, 60))], [Region((30, 30, 60, 60))]]
    loss_of(critic, decoder).gradient(latents(2, 24, 24), regions)
    assert decoder.cells == 2 * 24 * 24


def test_an_image_without_a_region_has_no_loss_and_no_gradient(critic: Critic, decoder: FarSightedDecoder) -> None:
    gradient, losses = loss_of(critic, decoder).gradient(latents(2, 32, 32), [[], [Region((20, 20, 60, 60))]])
    assert losses[0] is None
    assert losses[1] is not None
    assert not gradient[0].any()
    assert gradient[1].any()
    gradient, losses = loss_of(critic, decoder).gradient(latents(2, 32, 32), [[], []])
    assert losses == [None, None]
    assert not gradient.any()


def test_each_images_loss_is_the_mean_of_its_hands_as_their_weights_say(
    critic: Critic, decoder: FarSightedDecoder
) -> None:
    one, other = Region((20, 20, 60, 60)), Region((150, 150, 60, 60))
    regions = [[one], [other], [one, other], [one._replace(weight=3.0), other]]
    losses = loss_of(critic, decoder).losses(latents(1, 32, 32).expand(4, -1, -1, -1), regions)
    first, second, alike, weighed = (loss or 0.0 for loss in losses)
    assert first != pytest.approx(second)
    assert alike == pytest.approx((first + second) / 2)
    assert weighed == pytest.approx((3 * first + second) / 4)


def test_an_image_that_is_no_number_spoils_no_other(critic: Critic, decoder: FarSightedDecoder) -> None:
    regions = [[Region((20, 20, 60, 60))], [Region((20, 20, 60, 60))], [Region((90, 90, 60, 60))]]
    good = latents(3, 32, 32)
    expected, expected_losses = loss_of(critic, decoder).gradient(good, regions)
    bad = good.clone()
    bad[1] = torch.nan
    gradient, losses = loss_of(critic, decoder).gradient(bad, regions)
    assert torch.allclose(gradient[[0, 2]], expected[[0, 2]], rtol=1e-12, atol=0)
    assert [losses[0], losses[2]] == pytest.approx([expected_losses[0], expected_losses[2]])
    assert gradient[1].isnan().any()
    assert losses[1] != losses[1]
