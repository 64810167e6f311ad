from collections.abc import Callable

import pytest
import torch
from torch import nn

from fairhands.guidance.attention_map import AttentionRecorder, layer_size, mask_from_map

HEADS, DIM_HEAD, WORDS_WIDTH = 2, 8, 12
TOKENS = 7
HAND = 3


class CrossAttention(nn.Module):
    """Attention from `[N, T, HEADS * DIM_HEAD]` to a text, with the names that ComfyUI's has."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.dim_head = HEADS, DIM_HEAD
        width = HEADS * DIM_HEAD
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(WORDS_WIDTH, width, bias=False)
        self.to_v = nn.Linear(WORDS_WIDTH, width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            tensor.unflatten(-1, (HEADS, DIM_HEAD)).transpose(1, 2)
            for tensor in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        return self.to_out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@pytest.fixture(autouse=True)
def fixed_weights() -> None:
    torch.manual_seed(3)


def words() -> torch.Tensor:
    """A text of TOKENS tokens, `[TOKENS, WORDS_WIDTH]`."""
    return torch.randn(TOKENS, WORDS_WIDTH, generator=torch.Generator().manual_seed(4))


def planted(attention: CrossAttention, height: int, width: int, *places: tuple[int, int]) -> torch.Tensor:
    """Pixels `[images, T, C]` whose query is the hand token's key at one place of each image, and 0 elsewhere."""
    key = attention.to_k(words())[HAND].detach()
    pixels = torch.zeros(len(places), height, width, HEADS * DIM_HEAD)
    for image, (row, column) in enumerate(places):
        pixels[image, row, column] = torch.linalg.solve(attention.to_q.weight.detach(), 20 * key)
    return pixels.flatten(1, 2)


def peak(image: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(image.argmax()), image.shape[1])
    return row, column


@pytest.mark.parametrize("tokens", [[HAND], slice(HAND, HAND + 1)])
def test_the_map_peaks_where_a_query_asks_for_the_hand_token(tokens: slice | list[int]) -> None:
    attention = CrossAttention()
    with AttentionRecorder({"middle": attention}) as recorder:
        attention(planted(attention, 8, 8, (2, 5), (6, 1)), words().expand(2, -1, -1))
        found = recorder.hand_map(words(), tokens, slice(None), 32, 32)
    assert found.shape == (2, 32, 32)
    assert found.dtype == torch.float32
    # A layer's pixel is 4 x 4 of the latent's.
    for image, (row, column) in zip(found, [(2, 5), (6, 1)], strict=True):
        assert (peak(image)[0] // 4, peak(image)[1] // 4) == (row, column)
        assert (float(image.min()), float(image.max())) == (0.0, 1.0)


def test_another_words_tokens_do_not_peak_there() -> None:
    attention = CrossAttention()
    with AttentionRecorder({"middle": attention}) as recorder:
        attention(planted(attention, 8, 8, (2, 5)), words()[None])
        others = [token for token in range(TOKENS) if token != HAND]
        found = recorder.hand_map(words(), others, slice(None), 8, 8)[0]
    assert found[2, 5] == 0.0


def test_the_map_is_the_softmax_over_all_tokens_averaged_over_heads_and_modules() -> None:
    modules = {"one": CrossAttention(), "two": CrossAttention()}
    pixels = torch.randn(1, 6, HEADS * DIM_HEAD)
    with AttentionRecorder(modules) as recorder:
        for module in modules.values():
            module(pixels, words()[None])
        found = recorder.hand_map(words(), [1, HAND], slice(None), 2, 3)[0]
    expected = torch.zeros(6)
    for module in modules.values():
        for head in range(HEADS):
            part = slice(head * DIM_HEAD, (head + 1) * DIM_HEAD)
            scores = module.to_q(pixels[0])[:, part] @ module.to_k(words())[:, part].T / DIM_HEAD**0.5
            expected += scores.softmax(-1)[:, [1, HAND]].sum(-1).detach() / 4
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert torch.allclose(found.flatten(), expected, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_outputs_stay_bit_for_bit_in_any_mode(mode: Callable[[], torch.autograd.grad_mode.inference_mode]) -> None:
    attention = CrossAttention()
    pixels = torch.randn(2, 64, HEADS * DIM_HEAD)
    with mode():
        before = attention(pixels, words().expand(2, -1, -1))
        with AttentionRecorder({"middle": attention}) as recorder:
            during = attention(pixels, words().expand(2, -1, -1))
            found = recorder.hand_map(words(), [HAND], slice(None), 16, 16)
    assert torch.equal(before, during)
    assert not found.requires_grad
    assert not recorder.queries


def test_queries_of_inference_mode_give_a_map_outside_of_it() -> None:
    with torch.inference_mode():
        attention = CrossAttention()
        recorder = AttentionRecorder({"middle": attention})
        attention(planted(attention, 4, 4, (1, 2)), words()[None])
    with torch.enable_grad():
        assert peak(recorder.hand_map(words(), [HAND], slice(None), 4, 4)[0]) == (1, 2)


def test_half_precision_networks_and_texts_of_another_precision_work() -> None:
    attention = CrossAttention().bfloat16()
    with AttentionRecorder({"middle": attention}) as recorder:
        attention(torch.randn(1, 256, HEADS * DIM_HEAD).bfloat16(), words()[None].bfloat16())
        assert recorder.queries["middle"].dtype == torch.bfloat16
        found = recorder.hand_map(words(), [HAND], slice(None), 16, 16)[0]
    # The softmax itself is of full precision: half of it would leave a few steps of brightness.
    assert found.unique().numel() > 240


def test_the_last_step_counts_and_rows_choose_the_images() -> None:
    attention = CrossAttention()
    with AttentionRecorder({"middle": attention}) as recorder:
        attention(planted(attention, 4, 4, (0, 0)), words()[None])
        attention(planted(attention, 4, 4, (3, 3), (1, 2), (2, 0)), words().expand(3, -1, -1))
        found = recorder.hand_map(words(), [HAND], slice(1, 3), 4, 4)
    assert [peak(image) for image in found] == [(1, 2), (2, 0)]


def test_modules_of_different_resolution_join_in_one_map_of_a_wide_latent() -> None:
    fine, coarse = CrossAttention(), CrossAttention()
    with AttentionRecorder({"fine": fine, "coarse": coarse}) as recorder:
        fine(planted(fine, 6, 10, (1, 8)), words()[None])
        coarse(planted(coarse, 3, 5, (0, 4)), words()[None])
        found = recorder.hand_map(words(), [HAND], slice(None), 24, 40)
    assert found.shape == (1, 24, 40)
    row, column = peak(found[0])
    assert 0 <= row < 8
    assert 32 <= column < 40


@pytest.mark.parametrize(
    ("pixels", "height", "width", "expected"),
    [
        (256, 64, 64, (16, 16)),
        (16 * 24, 64, 96, (16, 24)),
        (24 * 16, 96, 64, (24, 16)),
        (13 * 9, 51, 33, (13, 9)),
        (7 * 5, 51, 33, (7, 5)),
        (30, 5, 6, (5, 6)),
        (1, 1, 1, (1, 1)),
    ],
)
def test_a_layers_size_is_the_latents_halved_and_rounded_up(
    pixels: int, height: int, width: int, expected: tuple[int, int]
) -> None:
    assert layer_size(pixels, height, width) == expected


def test_a_size_of_another_latent_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"64 x 96, expected the size of the sampled latent: .* the 256 pixels"):
        layer_size(256, 64, 96)


def test_a_map_before_the_first_step_is_refused() -> None:
    recorder = AttentionRecorder({"middle": CrossAttention()})
    with pytest.raises(ValueError, match="nothing ran yet"):
        recorder.hand_map(words(), [HAND], slice(None), 4, 4)


def test_after_detach_nothing_is_recorded_and_no_hook_is_left() -> None:
    attention = CrossAttention()
    recorder = AttentionRecorder({"middle": attention})
    recorder.detach()
    attention(torch.randn(1, 16, HEADS * DIM_HEAD), words()[None])
    assert not recorder.queries
    assert not attention.to_q._forward_hooks


def test_a_map_without_differences_is_empty_and_so_is_its_mask() -> None:
    attention = CrossAttention()
    with AttentionRecorder({"middle": attention}) as recorder:
        attention(torch.zeros(1, 16, HEADS * DIM_HEAD), words()[None])
        found = recorder.hand_map(words(), [HAND], slice(None), 16, 16)
    assert found.abs().max() == 0
    assert mask_from_map(found).sum() == 0


def two_hands() -> torch.Tensor:
    """A map with a bright part of 100 pixels and one half as bright, of 60, out of 2400."""
    image = torch.zeros(1, 40, 60)
    image[0, 5:15, 5:15] = 0.8
    image[0, 20:30, 40:46] = 0.41
    return image


@pytest.mark.parametrize(("threshold", "pixels"), [(0.0, 160), (0.5, 160), (0.52, 100), (0.9, 100)])
def test_the_mask_is_above_the_threshold_times_the_maximum(threshold: float, pixels: int) -> None:
    mask = mask_from_map(two_hands(), threshold)
    assert mask.shape == (1, 40, 60)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.sum() == pixels


def test_the_threshold_rises_until_the_largest_share_fits() -> None:
    assert mask_from_map(two_hands(), largest_share=160 / 2400).sum() == 160
    assert mask_from_map(two_hands(), largest_share=159 / 2400).sum() == 100


@pytest.mark.parametrize("largest_share", [0.05, 0.3, 1.0])
def test_a_gradual_map_is_cut_at_the_largest_share(largest_share: float) -> None:
    ramp = torch.linspace(0, 1, 1000).reshape(1, 20, 50)
    mask = mask_from_map(ramp, 0.01, largest_share)
    assert float(mask.mean()) == pytest.approx(min(largest_share, 0.99), abs=0.002)
    assert mask[0, -1, -1] == 1


def test_each_image_has_its_own_maximum() -> None:
    mask = mask_from_map(torch.cat([two_hands(), 0.1 * two_hands(), torch.zeros(1, 40, 60)]))
    assert mask.sum((1, 2)).tolist() == [160, 160, 0]


def test_specks_are_dropped_also_beside_a_hand() -> None:
    image = two_hands()
    image[0, 38, 1:3] = 1.0
    assert mask_from_map(image, 0.3).sum() == 160


@pytest.mark.parametrize("setting", [{"threshold": 1.0}, {"threshold": -0.1}])
def test_a_threshold_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"threshold is {setting['threshold']:g}, expected a share of the map's max"):
        mask_from_map(two_hands(), **setting)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_largest_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"largest_share is {share:g}, expected a share of the pixels"):
        mask_from_map(two_hands(), largest_share=share)
